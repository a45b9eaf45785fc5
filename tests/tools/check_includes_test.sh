#!/usr/bin/env bash
# tools/check-includes lets an include through that goes down, and names the one that does not.
set -euo pipefail
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

# expect RESULT FILE INCLUDE: a tree with that one include passes or fails.
expect() {
  rm -rf "${tree:?}"/*
  mkdir -p "$tree/$(dirname "$2")"
  printf '#pragma once\n#include %s\n' "$3" >"$tree/$2"
  local said result=0
  said=$(tools/check-includes "$tree" 2>/dev/null) || result=$?
  if [ "$1" = pass ] && [ "$result$said" = 0 ]; then return; fi
  if [ "$1" = fail ] && [ "$result" = 1 ] && [[ $said == "$2:2: "* ]]; then return; fi
  echo "$2 with #include $3: expected to $1, got $result '$said'" >&2
  exit 1
}

# A line below, the own folder, the standard library.
expect pass simulator/kernels/gemm.hpp '"simulator/workload/op.hpp"'
expect pass simulator/kernels/gemm.hpp '"simulator/kernels/surface.hpp"'
expect pass simulator/kernels/gemm.hpp '<vector>'
expect pass simulator/predict.cpp '"simulator/memory/memory.hpp"'
expect pass simulator/report/report.hpp '"simulator/job.hpp"'
expect pass simulator/job.hpp '"simulator/cluster/cluster.hpp"'
expect pass models/dense.cpp '"simulator/workload/model_graph.hpp"'
expect pass tools/stepcast/main.cpp '"simulator/input/input.hpp"'
expect pass calibration/fit/gemm.cpp '"simulator/kernels/gemm.hpp"'
# A line above.
expect fail simulator/units/units.hpp '"simulator/profiles/gpu.hpp"'
expect fail simulator/execution/lower.cpp '"simulator/report/report.hpp"'
expect fail simulator/report/text.cpp '"simulator/predict.hpp"'
expect fail simulator/execution/lower.cpp '  "simulator/job.hpp"'
expect fail simulator/kernels/gemm.cpp '<simulator/job.hpp>'
expect fail models/dense.cpp '"simulator/execution/lower.hpp"'
# A neighbour.
expect fail simulator/kernels/gemm.cpp '"simulator/collectives/ring.hpp"'
expect fail simulator/memory/memory.cpp '"models/families.hpp"'
expect fail simulator/workload/op.cpp '"simulator/cluster/cluster.hpp"'
expect fail simulator/units/text.cpp '"simulator/base/error.hpp"'
# Layers that see less than what is below them.
expect fail simulator/job.hpp '"simulator/execution/options.hpp"'
expect fail simulator/job.hpp '"simulator/kernels/gemm.hpp"'
expect fail calibration/fit/gemm.cpp '"simulator/schedules/schedule.hpp"'
# A folder without a layer, a way around, another's third party.
expect fail simulator/misc/helpers.hpp '"simulator/units/units.hpp"'
expect fail simulator/units/text.cpp '"simulator/misc/helpers.hpp"'
expect fail simulator/kernels/gemm.cpp '"../collectives/ring.hpp"'
expect fail simulator/report/text.cpp '<yaml-cpp/yaml.h>'
expect fail simulator/report/text.cpp '"tests/support/job.hpp"'
