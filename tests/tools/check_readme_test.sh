#!/usr/bin/env bash
# tools/check-readme sees a shown output drift, tools/update-readme renews it and nothing else.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STEPCAST_BIN=$work

cat >"$work/stepcast" <<'END'
#!/usr/bin/env bash
[ "$1" = predict ] || { echo "unknown subcommand" >&2 && exit 2; }
echo "step time  1.25 s"
echo
echo "simulated in 0.$RANDOM ms"
END
chmod +x "$work/stepcast"

page() {  # STEP_TIME COMMAND
  printf '%s\n' '# Page' "<!-- output of: $2 -->" '```text' "step time  $1 s" '' 'simulated in 0.4 ms' '```' 'The end.'
}
fail() {
  echo "$*" >&2
  exit 1
}

page 1.25 'stepcast predict x.yaml' >"$work/page.md"
cp "$work/page.md" "$work/before.md"
tools/check-readme "$work/page.md" || fail "an exact page was refused"
tools/update-readme "$work/page.md"
cmp "$work/page.md" "$work/before.md" || fail "an exact page was changed"

page 9.99 'stepcast predict x.yaml' >"$work/page.md"
if tools/check-readme "$work/page.md"; then fail "drift was not seen"; fi
tools/update-readme "$work/page.md"
tools/check-readme "$work/page.md" || fail "an updated page was refused"
diff <(sed '/simulated in/d' "$work/page.md") <(sed '/simulated in/d' "$work/before.md") || fail "the update changed more"

page 1.25 'stepcast perdict x.yaml' >"$work/page.md"
if tools/check-readme "$work/page.md" 2>/dev/null; then fail "a failing command was let through"; fi
page 1.25 'rm -rf x' >"$work/page.md"
if tools/check-readme "$work/page.md" 2>/dev/null; then fail "a command other than stepcast was run"; fi
echo 'nothing shown' >"$work/page.md"
if tools/check-readme "$work/page.md" 2>/dev/null; then fail "a page without output was let through"; fi
