/// The constants of the tile / wave model (simulator/kernels/gemm.cpp) from measured products.
///
/// Sources differ by the clock they ran at, by the inputs they multiplied (zeros draw less power) and by what their timer
/// includes: every source has one free ratio, and the fitted speed is that of the reference or the middle of all.
/// A library whose name ends in "+quantise" timed the kernels that quantise its fp8 activations as well: those cost
/// q0 + q * m * k, fitted alongside and not written.

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>

#include "calibration/fit/fit.hpp"
#include "calibration/fit/surface.hpp"
#include "simulator/base/optimise.hpp"
#include "simulator/kernels/gemm_model.hpp"

namespace stepcast {
namespace {

constexpr std::size_t fewest_points = 24;
constexpr std::size_t fewest_families = 6;
constexpr std::size_t few_points = 300;    ///< below, a quarter is held out instead of half
constexpr std::size_t sample_size = 6000;  ///< of the points that the constants are fitted to

using Tile = GemmProfile::Tile;
constexpr Tile tile_pool[] = {{256, 256}, {256, 192}, {256, 128}, {128, 256}, {192, 128}, {128, 192}, {128, 128},
                              {256, 64},  {64, 256},  {128, 64},  {64, 128},  {64, 64},   {64, 32},   {32, 64}};

constexpr Tile usual_tiles[] = {{256, 128}, {128, 256}, {128, 128}, {128, 64}, {64, 64}, {64, 32}};

struct Sample {
  Gemm gemm;
  double time = 0;  ///< measured, s
  std::size_t source = 0;
  bool held_out = false;
  double weight = 1;
  double gflop() const { return gemm.flops().si() * 1e-9; }
};

struct Source {
  std::string name;
  bool relative = false;  ///< of another GPU: its speed says nothing of this one's
  bool held_out = false;
  bool quantises = false;
  double log_ratio = 0;
};

bool same(const Tile& a, const Tile& b) { return a.rows == b.rows && a.columns == b.columns; }

/// What the search finds besides the tiles.
struct Constants {
  GemmProfile profile;
  double quantise_fixed = 0;  ///< s
  double quantise_bytes = 0;  ///< per element of the activations, at data sheet bandwidth
};

Layout layout_of(const std::string& name) { return name == "nn" ? Layout::nn : name == "nt" ? Layout::nt : Layout::tn; }

/// The weights' shape, however the layout names its sides: what a family of shapes has in common.
std::pair<std::int64_t, std::int64_t> family_of(const GemmPoint& point) {
  if (point.layout == "nn") return {point.k, point.n};
  if (point.layout == "nt") return {point.m, point.n};
  return {point.n, point.k};
}

/// Large products are where training spends its time; odd token counts are for serving.
double base_weight(const Sample& sample) {
  const double g = sample.gflop();
  double weight = g > 10 ? 3 : g > 1 ? 1 : g > 0.1 ? 0.5 : 0.1;
  const auto m = static_cast<std::int64_t>(sample.gemm.m);
  if (m % 8 != 0)
    weight *= 0.25;
  else if (m % 64 != 0)
    weight *= 0.8;
  return weight;
}

class GemmFit {
 public:
  GemmFit(const std::vector<const Measurement*>& measurements, Gpu& gpu, Precision precision, const FitOptions& options)
      : gpu_(gpu), precision_(precision), options_(options), what_(fmt::format("gemm {}", name_of(precision))) {
    gather(measurements);
    // Without what an earlier fit found beyond the formula.
    Constants start{gpu_.gemm_profile(precision), 5e-6, 6};
    start.profile.residual = {};
    if (!any_quantises_) start.quantise_fixed = start.quantise_bytes = 0;
    best_ = start;
    prior_ = start;
  }

  Fit run() {
    search();
    round_constants();
    settle_ratios();
    fit_residual();
    Fit fit = report();
    gpu_.gemm[precision_] = best_.profile;
    return fit;
  }

 private:
  void gather(const std::vector<const Measurement*>& measurements) {
    std::map<std::string, std::size_t> source_index;
    std::set<std::pair<std::int64_t, std::int64_t>> families;
    for (const Measurement* measurement : measurements)
      families.insert(family_of(std::get<GemmPoint>(measurement->point)));
    if (measurements.size() < fewest_points || families.size() < fewest_families)
      throw UserError(
          fmt::format("too few {} measurements to fit: {} of {} families of shapes (n, k); {} of {} are needed", what_,
                      measurements.size(), families.size(), fewest_points, fewest_families));
    const double share = measurements.size() < few_points ? 0.25 : 0.5;
    for (const Measurement* measurement : measurements) {
      const GemmPoint& point = std::get<GemmPoint>(measurement->point);
      const auto [found, is_new] = source_index.emplace(measurement->library, sources_.size());
      if (is_new) {
        constexpr std::string_view quantise = "+quantise";
        const std::string& name = measurement->library;
        Source source{name, !options_.relative_gpu.empty() && measurement->gpu == options_.relative_gpu,
                      names_source(options_.held_out_source, name), false, 0};
        source.quantises = name.size() > quantise.size() &&
                           name.compare(name.size() - quantise.size(), quantise.size(), quantise) == 0;
        any_quantises_ |= source.quantises;
        all_quantise_ &= source.quantises;
        sources_.push_back(source);
      }
      Sample sample;
      sample.gemm = {double(point.m), double(point.n),         double(point.k),      double(point.batch),
                     precision_,      layout_of(point.layout), point.accumulate_fp32};
      sample.time = measurement->time_us * 1e-6;
      sample.source = found->second;
      const auto [a, b] = family_of(point);
      sample.held_out = sources_[sample.source].held_out ||
                        is_held_out(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b), options_.seed, share);
      sample.weight = base_weight(sample);
      samples_.push_back(sample);
      if (!sample.held_out && sample.gemm.layout == Layout::nn) ++nn_points_;
      if (!sample.held_out && sample.gemm.layout == Layout::nt) ++nt_points_;
    }
    // Sources count alike, however many points they have; beside a reference, and as a relative, less.
    constexpr double lesser = 0.4;
    std::vector<double> total(sources_.size(), 0);
    for (const Sample& sample : samples_)
      if (!sample.held_out) total[sample.source] += sample.weight;
    for (Sample& sample : samples_)
      if (total[sample.source] > 0)
        sample.weight *= (is_lesser(sources_[sample.source]) ? lesser : 1) / total[sample.source];
    for (std::size_t i = 0; i < samples_.size(); ++i)
      if (!samples_[i].held_out) fitted_.push_back(i);
    if (fitted_.empty())
      throw UserError(fmt::format("nothing is left of {} to fit once the hold-out is set apart", what_));
  }

  bool is_lesser(const Source& source) const {
    return source.relative ||
           (!options_.reference_source.empty() && !names_source(options_.reference_source, source.name));
  }

  /// Points for the search: of every source and size alike, drawn once.
  std::vector<std::size_t> drawn(std::size_t most) const {
    if (fitted_.size() <= most) return fitted_;
    std::map<std::pair<std::size_t, int>, std::vector<std::size_t>> strata;
    for (const std::size_t i : fitted_)
      strata[{samples_[i].source, std::ilogb(samples_[i].gflop() * 1e3) / 2}].push_back(i);
    std::mt19937_64 random(options_.seed);
    std::vector<std::size_t> sample;
    const double share = static_cast<double>(most) / static_cast<double>(fitted_.size());
    for (auto& [key, members] : strata) {
      // By hand: std::shuffle is not the same in every library.
      for (std::size_t i = members.size(); i > 1; --i) std::swap(members[i - 1], members[random() % i]);
      const auto floor = std::min<std::size_t>(members.size(), 40);
      const auto take = std::max(floor, static_cast<std::size_t>(share * static_cast<double>(members.size())));
      sample.insert(sample.end(), members.begin(), members.begin() + static_cast<std::ptrdiff_t>(take));
    }
    return sample;
  }

  double quantise_time(const Sample& sample, const Constants& constants) const {
    if (!sources_[sample.source].quantises) return 0;
    return constants.quantise_fixed +
           constants.quantise_bytes * sample.gemm.m * sample.gemm.k / gpu_.hbm_bandwidth->si();
  }

  /// log(model / measured) of each point, before its source's ratio.
  std::vector<double> log_errors(const std::vector<std::size_t>& points, const Constants& constants) {
    gpu_.gemm[precision_] = constants.profile;
    const GemmModel model(gpu_, precision_);  // gemm_time(), with all reckoned once that no shape changes
    std::vector<double> errors;
    errors.reserve(points.size());
    for (const std::size_t i : points)
      errors.push_back(std::log((model.time(samples_[i].gemm).time.si() + quantise_time(samples_[i], constants)) /
                                samples_[i].time));
    return errors;
  }

  /// The ratio of each source: the median over its points, less the reference's (or the mean of all that are no
  /// relatives).
  std::vector<double> ratios(const std::vector<std::size_t>& points, const std::vector<double>& errors) const {
    std::vector<std::vector<std::pair<double, double>>> of_source(sources_.size());
    for (std::size_t i = 0; i < points.size(); ++i)
      of_source[samples_[points[i]].source].emplace_back(-errors[i], samples_[points[i]].weight);
    std::vector<double> ratio(sources_.size(), 0);
    double sum = 0, count = 0;
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      if (of_source[s].empty()) continue;
      ratio[s] = weighted_median(of_source[s]);
      const bool counts = options_.reference_source.empty() ? !sources_[s].relative
                                                            : names_source(options_.reference_source, sources_[s].name);
      if (counts) sum += ratio[s], ++count;
    }
    const double middle = count > 0 ? sum / count : 0;
    for (std::size_t s = 0; s < sources_.size(); ++s)
      if (!of_source[s].empty()) ratio[s] -= middle;
    return ratio;
  }

  double loss(const std::vector<std::size_t>& points, const Constants& constants) {
    const std::vector<double> errors = log_errors(points, constants);
    const std::vector<double> ratio = ratios(points, errors);
    double sum = 0, weight = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Sample& sample = samples_[points[i]];
      sum += sample.weight * std::abs(errors[i] + ratio[sample.source]);
      weight += sample.weight;
    }
    return sum / weight;
  }

  // --- the search ---------------------------------------------------------------------------------------------------

  struct Field {
    Unknown unknown;
    std::function<void(Constants&, double)> set;
  };

  /// The unknowns that the points can tell, with their values in `at`.
  std::vector<Field> fields(const Constants& at) const {
    const GemmProfile& p = at.profile;
    std::vector<Field> all{
        {{"peak_fraction", 0.3, 1.0, p.peak_fraction},
         [](Constants& c, double v) { c.profile.peak_fraction.value = v; }},
        {{"tile_area_exponent", 0, 1.2, p.tile_area_exponent},
         [](Constants& c, double v) { c.profile.tile_area_exponent.value = v; }},
        {{"prologue_k", 0, 800, p.prologue_k}, [](Constants& c, double v) { c.profile.prologue_k.value = v; }},
        {{"wave_softness", 0, 1, p.wave_softness}, [](Constants& c, double v) { c.profile.wave_softness.value = v; }},
        {{"memory_fraction", 0.3, 1.0, p.memory_fraction},
         [](Constants& c, double v) { c.profile.memory_fraction.value = v; }},
        {{"epilogue_exposed", 0, 1.5, p.epilogue_exposed},
         [](Constants& c, double v) { c.profile.epilogue_exposed.value = v; }},
    };
    if (!all_quantise_)  // else it cannot be told from the start of the quantising kernels
      all.push_back({{"fixed_time", 0, 12e-6, p.fixed_time->si()},
                     [](Constants& c, double v) { c.profile.fixed_time.value = Seconds(v); }});
    if (nn_points_ >= 8)
      all.push_back(
          {{"nn_factor", 0.85, 1.35, p.nn_factor}, [](Constants& c, double v) { c.profile.nn_factor.value = v; }});
    if (nt_points_ >= 8)
      all.push_back(
          {{"nt_factor", 0.85, 1.35, p.nt_factor}, [](Constants& c, double v) { c.profile.nt_factor.value = v; }});
    if (any_quantises_) {
      all.push_back({{"", 0, 30e-6, at.quantise_fixed}, [](Constants& c, double v) { c.quantise_fixed = v; }});
      all.push_back({{"", 0, 24, at.quantise_bytes}, [](Constants& c, double v) { c.quantise_bytes = v; }});
    }
    return all;
  }

  /// Improves `best_` with its tiles as they are; few points leave the constants near the base profile's.
  double improve(const std::vector<std::size_t>& points, const Effort& effort) {
    const std::vector<Field> all = fields(best_);
    std::vector<Unknown> unknowns;
    for (const Field& field : all) unknowns.push_back(field.unknown);
    const double pull = 0.5 / static_cast<double>(points.size());
    std::vector<double> prior;
    for (const Field& field : fields(prior_)) prior.push_back(field.unknown.start);
    const auto objective = [&](const std::vector<double>& values) {
      Constants constants = best_;
      double penalty = 0;
      for (std::size_t i = 0; i < all.size(); ++i) {
        all[i].set(constants, values[i]);
        const double off = (values[i] - prior[i]) / (unknowns[i].high - unknowns[i].low);
        penalty += pull * off * off;
      }
      return loss(points, constants) + penalty;
    };
    const std::vector<double> values = minimise(objective, unknowns, effort, options_.seed);
    for (std::size_t i = 0; i < all.size(); ++i) all[i].set(best_, values[i]);
    return objective(values);
  }

  void search() {
    const std::vector<std::size_t> coarse = drawn(2000);
    note("constants");
    double lowest = improve(coarse, {3000, 500});
    {
      const Constants with_base_tiles = best_;
      best_.profile.tiles.assign(std::begin(usual_tiles), std::end(usual_tiles));
      const double now = improve(coarse, {3000, 500});
      if (now < lowest)
        lowest = now;
      else
        best_ = with_base_tiles;
    }
    // A tile is taken in, left out, or exchanged for another when that lowers the error; fewer when it hardly matters.
    note("tiles");
    for (int round = 0; round < 3; ++round) {
      bool changed = false;
      const auto attempt = [&](const std::vector<Tile>& tiles, double gain) {
        const Constants kept = best_;
        best_.profile.tiles = tiles;
        const double now = improve(coarse, {0, 250});
        if (now >= lowest * gain) {
          best_ = kept;
          return false;
        }
        lowest = now;
        return changed = true;
      };
      for (const Tile& tile : tile_pool) {
        std::vector<Tile> tiles = best_.profile.tiles;
        const auto found =
            std::find_if(tiles.begin(), tiles.end(), [&](const Tile& other) { return same(tile, other); });
        if (found == tiles.end()) {
          tiles.push_back(tile);
          if (attempt(tiles, 0.995)) continue;
          for (std::size_t i = 0; i + 1 < tiles.size(); ++i) {
            std::vector<Tile> exchanged = best_.profile.tiles;
            exchanged[i] = tile;
            if (attempt(exchanged, 0.998)) break;
          }
        } else if (tiles.size() > 1) {
          tiles.erase(found);
          attempt(tiles, 1.001);
        }
      }
      note(fmt::format("tiles, round {}: {} tiles, mean error {:.1f}%", round + 1, best_.profile.tiles.size(),
                       100 * lowest));
      if (!changed) break;
    }
    std::sort(best_.profile.tiles.begin(), best_.profile.tiles.end(), [](const Tile& a, const Tile& b) {
      return std::pair(a.rows * a.columns, a.rows) > std::pair(b.rows * b.columns, b.rows);
    });
    note("constants");
    lowest = improve(drawn(sample_size), {5000, 1500});
    note(fmt::format("constants: mean weighted error {:.1f}%", 100 * lowest));
  }

  void round_constants() {
    for (const Field& field : fields(best_))
      field.set(best_,
                field.unknown.name == "fixed_time" ? rounded(field.unknown.start, 3) : rounded(field.unknown.start, 4));
  }

  void settle_ratios() {
    const std::vector<double> errors = log_errors(fitted_, best_);
    const std::vector<double> ratio = ratios(fitted_, errors);
    for (std::size_t s = 0; s < sources_.size(); ++s) sources_[s].log_ratio = ratio[s];
    // A source that was held out has one ratio as well, over its large products.
    for (std::size_t s = 0; s < sources_.size(); ++s) {
      if (!sources_[s].held_out) continue;
      std::vector<std::size_t> its;
      for (std::size_t i = 0; i < samples_.size(); ++i)
        if (samples_[i].source == s) its.push_back(i);
      const std::vector<double> off = log_errors(its, best_);
      std::vector<std::pair<double, double>> values;
      for (std::size_t i = 0; i < its.size(); ++i) values.emplace_back(-off[i], base_weight(samples_[its[i]]));
      sources_[s].log_ratio = weighted_median(values);
    }
  }

  void fit_residual() {
    gpu_.gemm[precision_] = best_.profile;
    const GemmModel formula(gpu_, precision_);
    std::vector<Residual> residuals;
    for (const std::size_t i : fitted_) {
      const Sample& sample = samples_[i];
      const Source& source = sources_[sample.source];
      const double model = formula.time(sample.gemm).time.si();
      const double other = quantise_time(sample, best_);
      const double measured = sample.time * std::exp(-source.log_ratio) - other;
      const double share = model / (model + other);
      residuals.push_back({{std::log2(sample.gemm.m), std::log2(sample.gemm.n), std::log2(sample.gemm.k)},
                           std::log(std::max(measured, 0.3 * model) / model),
                           sample.weight * share * share});
    }
    best_.profile.residual = fit_surface(residuals);
    best_.profile.residual.source = source_text();
  }

  // --- the answer ---------------------------------------------------------------------------------------------------

  struct SizeClass {
    const char* name;
    double above, upto;
    bool aligned;
  };
  static constexpr SizeClass classes[] = {
      {"above 100 GFLOP", 100, 1e30, false},
      {"10-100 GFLOP", 10, 100, false},
      {"1-10 GFLOP", 1, 10, false},
      {"0.1-1 GFLOP", 0.1, 1, false},
      {"below 0.1 GFLOP", 0, 0.1, false},
      {"all above 10 GFLOP", 10, 1e30, false},
      {"above 10, m % 64 = 0", 10, 1e30, true},
      {"all below 10 GFLOP", 0, 10, false},
      {"below 10, m % 64 = 0", 0, 10, true},
  };

  std::string source_text() const {
    std::string names;
    for (const Source& source : sources_)
      if (!source.held_out) names += (names.empty() ? "" : ", ") + source.name;
    return fmt::format("{} measurements ({})", fitted_.size(), names);
  }

  Fit report() {
    Fit fit;
    std::vector<std::size_t> all(samples_.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    Constants plain = best_;
    plain.profile.residual = {};
    const std::vector<double> before = log_errors(all, plain);
    const std::vector<double> after = log_errors(all, best_);

    const auto rows_of = [&](const std::string& held_out, const auto& belongs) {
      for (const SizeClass& size : classes) {
        std::vector<double> formula, with_surface;
        for (const std::size_t i : all) {
          const Sample& sample = samples_[i];
          if (!belongs(sample) || sample.gflop() <= size.above || sample.gflop() > size.upto) continue;
          if (size.aligned && std::fmod(sample.gemm.m, 64) != 0) continue;
          formula.push_back(before[i] + sources_[sample.source].log_ratio);
          with_surface.push_back(after[i] + sources_[sample.source].log_ratio);
        }
        if (!formula.empty())
          fit.rows.push_back({what_, held_out, size.name, summary_of(formula), summary_of(with_surface)});
      }
    };
    rows_of("families", [&](const Sample& s) {
      return s.held_out && !sources_[s.source].held_out && !sources_[s.source].relative;
    });
    for (std::size_t source = 0; source < sources_.size(); ++source) {
      if (sources_[source].relative)
        rows_of("families, " + sources_[source].name,
                [&](const Sample& s) { return s.held_out && s.source == source; });
      if (sources_[source].held_out)
        rows_of("source " + sources_[source].name, [&](const Sample& s) { return s.source == source; });
      std::size_t n = 0;
      for (const Sample& sample : samples_) n += sample.source == source;
      fit.ratios.push_back(
          {what_, sources_[source].name, n, std::exp(sources_[source].log_ratio), sources_[source].held_out});
    }
    for (const std::size_t i : all)
      fit.points.push_back({what_, samples_[i].time * 1e6 * std::exp(-sources_[samples_[i].source].log_ratio),
                            samples_[i].time * 1e6 * std::exp(after[i]), samples_[i].held_out});

    std::string error = "no hold-out above 10 GFLOP";
    for (const HoldOutRow& row : fit.rows)
      if (row.held_out == "families" && row.size_class == std::string("all above 10 GFLOP"))
        error = fmt::format("held-out families above 10 GFLOP: median {:.1f}%, mean {:.1f}%",
                            100 * row.with_surface->median, 100 * row.with_surface->mean);
    const std::string source = fmt::format("{}; {}", source_text(), error);
    std::string tiles;
    for (const Tile& tile : best_.profile.tiles)
      tiles += fmt::format("{}[{}, {}]", tiles.empty() ? "" : ", ", tile.rows, tile.columns);
    const std::string path = fmt::format("gemm.{}.", name_of(precision_));
    fit.numbers.push_back({path + "tiles", "[" + tiles + "]", source});
    for (const Field& field : fields(best_)) {
      if (field.unknown.name.empty()) continue;
      fit.numbers.push_back({path + field.unknown.name,
                             field.unknown.name == "fixed_time" ? fmt::format("{:.4g} us", field.unknown.start * 1e6)
                                                                : fmt::format("{:.4g}", field.unknown.start),
                             source});
    }
    fit.surfaces.push_back({path + "residual", best_.profile.residual});
    if (any_quantises_)
      fit.notes.push_back(fmt::format(
          "{}: quantising the activations took {:.2g} us and {:.2g} B per element of m k; not part of the profile",
          what_, best_.quantise_fixed * 1e6, best_.quantise_bytes));
    return fit;
  }

  void note(const std::string& text) const {
    if (options_.note) options_.note(what_ + ": " + text);
  }

  Gpu& gpu_;
  Precision precision_;
  const FitOptions& options_;
  std::string what_;
  std::vector<Sample> samples_;
  std::vector<Source> sources_;
  std::vector<std::size_t> fitted_;
  bool any_quantises_ = false, all_quantise_ = true;
  int nn_points_ = 0, nt_points_ = 0;
  Constants best_, prior_;
};

}  // namespace

Fit fit_gemm(const std::vector<const Measurement*>& measurements, Gpu& gpu, Precision precision,
             const FitOptions& options) {
  return GemmFit(measurements, gpu, precision, options).run();
}

}  // namespace stepcast
