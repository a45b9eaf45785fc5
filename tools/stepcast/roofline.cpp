#include "simulator/report/roofline.hpp"

#include <memory>

#include "simulator/base/files.hpp"
#include "simulator/predict.hpp"
#include "tools/stepcast/command.hpp"

namespace stepcast::cli {
namespace {

struct Options {
  Inputs inputs;
  std::string format = "text";
  std::string out;
};

Exit run(const Options& options) {
  const ReportFormat& format = chosen("format", options.format, roofline_formats());
  const Report report = predict(load_job(options.inputs.one_file("SCENARIO"), options.inputs.overrides()));
  if (options.out.empty()) {
    print_result(format.write(report, {.explain = true, .colour = wants_colour(stdout)}));
  } else {
    write_file_atomically(options.out, format.write(report, {.explain = true, .colour = false}));
  }
  return report.feasible ? Exit::done : Exit::answered_no;
}

}  // namespace

Action add_roofline(CLI::App& app) {
  const auto options = std::make_shared<Options>();
  options->inputs.add(app, "SCENARIO", Inputs::Count::one, "A scenario, or FILE#RUN for one run of a reference file");
  app.add_option("--format", options->format, names_of(roofline_formats()))->type_name("FORMAT")->capture_default_str();
  app.add_option("--out", options->out, "Write to a file instead of standard output")->type_name("FILE");
  app.footer(R"(Examples:
  stepcast roofline scenarios/quickstart.yaml
  stepcast roofline scenarios/quickstart.yaml --format svg --out roofline.svg
  stepcast roofline scenarios/llama3-70b-256-h100.yaml --set plan.tensor_parallel=4 --format json)");
  return [options] { return run(*options); };
}

}  // namespace stepcast::cli
