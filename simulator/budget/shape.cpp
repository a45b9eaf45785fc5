#include "simulator/budget/shape.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/units/text.hpp"

namespace stepcast {
namespace {

// --- families ----------------------------------------------------------------------------------------------------

constexpr PublishedShape gpt3_sizes[] = {
    {1.25e8, 12, 768}, {3.5e8, 24, 1024},  {7.6e8, 24, 1536},    {1.3e9, 24, 2048},      {2.7e9, 32, 2560},
    {6.7e9, 32, 4096}, {1.3e10, 40, 5120}, {1.75e11, 96, 12288}, {5.296e11, 105, 20480}, {1.008e12, 128, 25600},
};

/// The smallest is GPT-3's: Llama 3 has none below a billion.
constexpr PublishedShape llama3_sizes[] = {
    {1.25e8, 12, 768, 4},    {1.24e9, 16, 2048, 4},     {3.21e9, 28, 3072, 8.0 / 3},
    {8.03e9, 32, 4096, 3.5}, {7.055e10, 80, 8192, 3.5}, {4.0585e11, 126, 16384, 3.25},
};

constexpr PublishedShape moe_sizes[] = {
    {3.05e10, 48, 2048, 0.375, 0.0896},    // Qwen3 30B-A3B
    {2.35e11, 94, 4096, 0.375, 0.0888},    // Qwen3 235B-A22B
    {6.71e11, 61, 7168, 2.0 / 7, 0.0525},  // DeepSeek-V3
    {1.04e12, 61, 7168, 2.0 / 7, 0.0292},  // Kimi K2
};

Architecture gpt3_body(double) {
  Architecture model;
  model.vocab = 50257;
  return model;  // the defaults of Architecture are GPT's
}

Architecture llama3_body(double parameters) {
  constexpr double largest_tied = 4e9;  // Llama 3.2 1B and 3B share the embedding with the head, 8B does not
  Architecture model;
  model.vocab = 128256;
  model.activation = Activation::swiglu;
  model.norm = NormKind::rmsnorm;
  model.position = Position::rope;
  model.bias = false;
  model.tied_embeddings = parameters < largest_tied;
  model.dropout = 0;
  return model;
}

constexpr ShapeFamily families[] = {
    {"gpt3", "GPT-3: GELU, FFN of 4 h, learned positions, biases, vocabulary 50,257",
     "Brown et al. 2020, arXiv 2005.14165, Table 2.1; above 175B Megatron-LM, arXiv 2104.04473, Table 1", gpt3_sizes,
     false, false, gpt3_body},
    {"llama3", "Llama 3: SwiGLU, 8 key-value heads, heads of 128, rotary positions, vocabulary 128,256",
     "arXiv 2407.21783, Table 3; meta-llama/Llama-3.2-1B and 3B configurations", llama3_sizes, true, false,
     llama3_body},
    {"moe", "Llama 3's layers with many small experts, as Qwen3 and DeepSeek-V3 have them",
     "Qwen3, arXiv 2505.09388, Table 2; DeepSeek-V3, arXiv 2412.19437; Kimi K2, arXiv 2507.20534", moe_sizes, true,
     true, llama3_body},
};

const ShapeFamily& family_named(const std::string& name) {
  std::vector<std::string> names;
  for (const ShapeFamily& family : families) {
    if (family.name == name) return family;
    names.emplace_back(family.name);
  }
  throw UserError(unknown_name("family", name, names));
}

/// Log-linear between the published sizes, and that of the nearest beyond them.
double interpolated(const ShapeFamily& family, double parameters, double (*of)(const PublishedShape&)) {
  const auto sizes = family.sizes;
  if (parameters <= sizes.front().parameters) return of(sizes.front());
  for (std::size_t i = 1; i < sizes.size(); ++i) {
    if (parameters > sizes[i].parameters) continue;
    const double from = std::log(sizes[i - 1].parameters), to = std::log(sizes[i].parameters);
    const double share = (std::log(parameters) - from) / (to - from);
    return std::exp((1 - share) * std::log(of(sizes[i - 1])) + share * std::log(of(sizes[i])));
  }
  return of(sizes.back());
}

/// What the family does at that size.
struct Ideal {
  double aspect = 0;  ///< hidden over layers
  double ffn_ratio = 0;
  double active_ratio = 1;
};

Ideal ideal_at(const ShapeFamily& family, double parameters) {
  return {interpolated(family, parameters, [](const PublishedShape& s) { return s.hidden / s.layers; }),
          interpolated(family, parameters, [](const PublishedShape& s) { return s.ffn_ratio; }),
          interpolated(family, parameters, [](const PublishedShape& s) { return s.active_ratio; })};
}

// --- sizes of a candidate ----------------------------------------------------------------------------------------

/// The size asked for, all parameters and the active ones, both without embeddings, of a model with L layers of FFN width f: base + L (layer + f wide).
/// Both are linear in each, so that three graphs tell it all.
class Sizes {
 public:
  Sizes(Architecture model, const ShapeRequest& request) : request_(request) {
    const double f = 1024;
    const auto one = measured(model, 1, f), two = measured(model, 2, f), wide = measured(model, 2, 2 * f);
    for (std::size_t i = 0; i < 3; ++i) {
      const double layer = two[i] - one[i];
      wide_[i] = (wide[i] - two[i]) / (2 * f);
      layer_[i] = layer - f * wide_[i];
      base_[i] = one[i] - layer;
    }
  }
  double size(double layers, double ffn) const { return value(0, layers, ffn); }
  /// Of the parameters without embeddings, what a token passes.
  double active_ratio(double layers, double ffn) const { return value(2, layers, ffn) / value(1, layers, ffn); }
  double layers_for(double size, double ffn) const { return (size - base_[0]) / (layer_[0] + ffn * wide_[0]); }
  double ffn_for(double size, double layers) const { return ((size - base_[0]) / layers - layer_[0]) / wide_[0]; }

 private:
  std::array<double, 3> measured(Architecture& model, std::int64_t layers, double ffn) const;
  double value(std::size_t i, double layers, double ffn) const {
    return base_[i] + layers * (layer_[i] + ffn * wide_[i]);
  }

  const ShapeRequest& request_;
  std::array<double, 3> base_{}, layer_{}, wide_{};
};

void set_sizes(Architecture& model, std::int64_t layers, std::int64_t ffn) {
  model.layers = layers;
  if (!model.moe) {
    model.ffn = ffn;
    return;
  }
  model.moe->moe_layers = layers;
  model.moe->expert_ffn = ffn;
  if (model.moe->shared_experts > 0) model.moe->shared_ffn = model.moe->shared_experts * ffn;
}

double size_of(const Architecture& model, const ModelSize& count, const ShapeRequest& request) {
  switch (request.of) {
    case ShapeSize::total: return count.total;
    case ShapeSize::active: return count.active;
    case ShapeSize::non_embedding: return count.non_embedding;
    case ShapeSize::non_embedding_with_attention: {
      const double passed = count.non_embedding - (count.total - count.active);
      return passed + 2 * static_cast<double>(model.layers * model.heads * model.head_dim) * request.sequence_length;
    }
  }
  return count.total;
}

std::array<double, 3> Sizes::measured(Architecture& model, std::int64_t layers, double ffn) const {
  set_sizes(model, layers, static_cast<std::int64_t>(ffn));
  const ModelSize count = count_parameters(model);
  return {size_of(model, count, request_), count.non_embedding, count.non_embedding - (count.total - count.active)};
}

// --- what is better ----------------------------------------------------------------------------------------------

/// In units of a share by which depth or width depart from the family's: a GPU's tiles and a node's ranks divide
/// multiples of large powers of two best.
double width_cost(std::int64_t width) {
  if (width % 1024 == 0) return 0;
  if (width % 512 == 0) return 0.005;
  if (width % 256 == 0) return 0.01;
  if (width % 128 == 0) return 0.03;
  return 0.2;
}

double departure(double value, double from) { return std::abs(std::log(value / from)); }

struct Candidate {
  Architecture model;
  double size = 0, cost = std::numeric_limits<double>::infinity();
};

/// Key-value heads next to eight that the tensor ranks share out evenly.
std::int64_t grouped_heads(std::int64_t heads, std::int64_t tensor_parallel) {
  constexpr double llama = 8;
  std::int64_t best = heads;  // divides by the tensor ranks, as the heads do
  for (std::int64_t kv = 1; kv <= heads; ++kv) {
    if (heads % kv != 0 || (kv % tensor_parallel != 0 && tensor_parallel % kv != 0)) continue;
    if (departure(static_cast<double>(kv), llama) < departure(static_cast<double>(best), llama)) best = kv;
  }
  return best;
}

void check(const ExpertChoice& choice, const MixtureOfExperts& moe, double active_ratio, std::int64_t ranks) {
  if (moe.experts < 1 || moe.top_k < 1 || moe.top_k > moe.experts || moe.shared_experts < 0)
    throw UserError(fmt::format("of {} experts a token cannot visit {}", moe.experts, moe.top_k));
  if (choice.expert_ffn && *choice.expert_ffn < 1)
    throw UserError(fmt::format("an expert is not {} wide", *choice.expert_ffn));
  if (moe.experts % ranks != 0)
    throw UserError(fmt::format("{} experts do not divide by expert_parallel {}", moe.experts, ranks));
  const double routed = static_cast<double>(moe.top_k) / static_cast<double>(moe.experts);
  if (choice.active_ratio && !(active_ratio > routed && active_ratio < 1))
    throw UserError(fmt::format(
        "an active_ratio of {} is not between {:.4g}, which is top_k / experts ({} / {}), and 1: name more experts",
        active_ratio, routed, moe.top_k, moe.experts));
}

class Search {
 public:
  Search(const ShapeRequest& request, const ShapeFamily& family)
      : request_(request), family_(family), total_(request.parameters) {
    if (family.experts) {
      // The interpolation is over all parameters; the ratio of an active size is found in two steps.
      active_ratio_ = request.experts.active_ratio.value_or(ideal_at(family, total_).active_ratio);
      if (request.of == ShapeSize::active || request.of == ShapeSize::non_embedding_with_attention) {
        for (int i = 0; i < 8; ++i) {
          total_ = request.parameters / active_ratio_;
          active_ratio_ = request.experts.active_ratio.value_or(ideal_at(family, total_).active_ratio);
        }
      }
    }
    ideal_ = ideal_at(family, total_);
    body_ = family.body(total_);
    body_.name = std::string(family.name);
    if (request.vocab) body_.vocab = *request.vocab;
    if (body_.position == Position::learned) body_.max_positions = static_cast<std::int64_t>(request.sequence_length);
    if (family.experts) {
      body_.moe = experts();
      check(request.experts, *body_.moe, active_ratio_, request.expert_parallel);
    }
  }

  ShapeAnswer answer() {
    // Of experts what all tokens share sets the width; else N = 12 L h^2 nearly, L = h / aspect.
    const double wide = family_.experts ? total_ * active_ratio_ : total_;
    const double middle = std::cbrt(wide * ideal_.aspect / 12);
    const bool small = total_ < 2e9;  // Llama 3.2 1B and GPT-3 up to 350M have heads of 64
    for (const std::int64_t head_dim : {64, 80, 96, 128}) {
      if (family_.free_ffn && head_dim != 64 && head_dim != 128) continue;
      if (family_.free_ffn && head_dim == 64 && !small) continue;
      const double preference = head_dim == (total_ < 5e8 || (small && family_.free_ffn) ? 64 : 128) ? 0 : 0.02;
      const std::int64_t step = heads_divide_by();
      const auto first = std::max<std::int64_t>(1, static_cast<std::int64_t>(middle / 4 / double(head_dim * step)));
      const auto last = static_cast<std::int64_t>(middle * 4 / double(head_dim * step)) + 1;
      for (std::int64_t i = first; i <= last; ++i) try_width(i * step, head_dim, preference);
    }
    return settled();
  }

 private:
  MixtureOfExperts experts() const;
  /// Grouped heads come in eights, unless the tensor ranks do not go with those.
  std::int64_t heads_divide_by() const {
    const std::int64_t ranks = request_.tensor_parallel;
    const bool eights = family_.free_ffn && (8 % ranks == 0 || ranks % 8 == 0);
    return eights ? std::lcm(std::int64_t{8}, ranks) : ranks;
  }
  void try_width(std::int64_t heads, std::int64_t head_dim, double preference);
  void try_ffn(const Sizes& sizes, const Architecture& model, std::int64_t layers, double cost);
  void consider(const Sizes& sizes, Architecture model, std::int64_t layers, std::int64_t ffn, double cost);
  ShapeAnswer settled() const;
  Shape finished(const Candidate& candidate) const;

  const ShapeRequest& request_;
  const ShapeFamily& family_;
  double total_ = 0, active_ratio_ = 1;
  Ideal ideal_;
  Architecture body_;
  Candidate best_, nearest_;
};

MixtureOfExperts Search::experts() const {
  constexpr double deepseek_from = 3e11;  // between Qwen3 235B (128 experts, none shared) and DeepSeek-V3 (256, one)
  constexpr double few_below = 1e9;       // where 128 experts of useful width do not fit beside the embedding
  const bool large = total_ >= deepseek_from, small = total_ < few_below;
  const ExpertChoice& choice = request_.experts;
  MixtureOfExperts moe;
  moe.top_k = choice.top_k.value_or(small ? 2 : 8);
  moe.shared_experts = choice.shared_experts.value_or(large ? 1 : 0);
  moe.experts = choice.experts.value_or(large ? 256 : small ? 32 : 128);
  if (!choice.experts) {
    // Routed experts are most of a model: a token must pass a smaller share of them than of the whole.
    constexpr double routed_share = 0.75;
    while (static_cast<double>(moe.top_k) > routed_share * active_ratio_ * static_cast<double>(moe.experts) &&
           moe.experts < 4096) {
      moe.experts *= 2;
    }
    while (choice.active_ratio && moe.experts > 2 * moe.top_k &&
           2 * static_cast<double>(moe.top_k) < routed_share * active_ratio_ * static_cast<double>(moe.experts)) {
      moe.experts /= 2;
    }
    moe.experts = std::lcm(moe.experts, request_.expert_parallel);
  }
  moe.expert_ffn = 1;
  moe.moe_layers = 1;
  return moe;
}

void Search::try_width(std::int64_t heads, std::int64_t head_dim, double preference) {
  Architecture model = body_;
  model.heads = heads;
  model.head_dim = head_dim;
  model.hidden = heads * head_dim;
  constexpr std::int64_t tile = 64;
  if (model.hidden % tile != 0) return;
  model.kv_heads = family_.free_ffn ? grouped_heads(heads, request_.tensor_parallel) : heads;
  const Sizes sizes(model, request_);
  const double cost = width_cost(model.hidden) + preference;
  const std::int64_t step = request_.layers_divide_by;
  const auto hidden = static_cast<double>(model.hidden);
  if (!family_.free_ffn) {
    const std::int64_t ffn = 4 * model.hidden;
    const double layers = sizes.layers_for(request_.parameters, static_cast<double>(ffn));
    const auto below = static_cast<std::int64_t>(layers / static_cast<double>(step));
    for (const std::int64_t n : {below, below + 1})
      if (n >= 1) consider(sizes, model, n * step, ffn, cost);
    return;
  }
  const double usual = hidden / ideal_.aspect / static_cast<double>(step);
  const auto first = std::max<std::int64_t>(1, static_cast<std::int64_t>(usual / 2));
  const auto last = static_cast<std::int64_t>(2 * usual) + 1;
  for (std::int64_t n = first; n <= last; ++n) try_ffn(sizes, model, n * step, cost);
}

void Search::try_ffn(const Sizes& sizes, const Architecture& model, std::int64_t layers, double cost) {
  if (request_.experts.expert_ffn && model.moe) {
    consider(sizes, model, layers, *request_.experts.expert_ffn, cost);
    return;
  }
  const double ffn = sizes.ffn_for(request_.parameters, static_cast<double>(layers));
  const std::int64_t ranks = model.moe ? 1 : request_.tensor_parallel;  // experts are whole on their ranks
  for (const std::int64_t unit : {1024, 512, 256, 128, 64}) {
    const std::int64_t whole = std::lcm(unit, ranks);
    const auto below = static_cast<std::int64_t>(ffn / static_cast<double>(whole));
    for (const std::int64_t n : {below, below + 1})
      if (n >= 1) consider(sizes, model, layers, n * whole, cost);
  }
}

void Search::consider(const Sizes& sizes, Architecture model, std::int64_t layers, std::int64_t ffn, double cost) {
  const auto depth = static_cast<double>(layers), width = static_cast<double>(model.hidden),
             f = static_cast<double>(ffn);
  const double size = sizes.size(depth, f);
  if (!(size > 0)) return;
  const double off = departure(size, request_.parameters);
  cost += departure(width / depth, ideal_.aspect) + 2 * off;
  if (family_.free_ffn) {
    cost += width_cost(ffn) + 0.5 * departure(f / width, ideal_.ffn_ratio);
    const double ratio = f / width;
    if (!model.moe && (ratio < 1.5 || ratio > 8)) return;
  }
  // What a token passes weighs more than how it is spread.
  if (model.moe) cost += 4 * departure(sizes.active_ratio(depth, f), active_ratio_);
  constexpr double odd_depth = 0.005;  // stages of a pipeline share an even number more easily
  if (layers % 2 != 0) cost += odd_depth;
  const bool fits = off <= std::log1p(request_.tolerance);
  if (fits && cost < best_.cost) {
    set_sizes(model, layers, ffn);
    best_ = {model, size, cost};
  } else if (!fits && off < nearest_.cost) {
    set_sizes(model, layers, ffn);
    nearest_ = {model, size, off};
  }
}

Shape Search::finished(const Candidate& candidate) const {
  Shape shape;
  shape.model = candidate.model;
  shape.count = count_parameters(shape.model);
  shape.size = size_of(shape.model, shape.count, request_);
  shape.off = shape.size / request_.parameters - 1;
  shape.model.name = fmt::format("{} {}", family_.name, number_text(shape.count.total / 1e9) + "B");
  return shape;
}

ShapeAnswer Search::settled() const {
  ShapeAnswer answer;
  if (std::isfinite(best_.cost)) {
    answer.shape = finished(best_);
    return answer;
  }
  answer.refusal = fmt::format("no {} model comes within {:.2g}% of {:.3g} parameters", family_.name,
                               100 * request_.tolerance, request_.parameters);
  if (request_.tensor_parallel > 1 || request_.layers_divide_by > 1)
    answer.refusal += fmt::format(" with heads that divide by {} and layers that divide by {}",
                                  request_.tensor_parallel, request_.layers_divide_by);
  if (std::isfinite(nearest_.cost)) {
    answer.nearest = finished(nearest_);
    answer.refusal += fmt::format("; the nearest has {:.3g} ({} layers of {})", answer.nearest->size,
                                  answer.nearest->model.layers, answer.nearest->model.hidden);
  }
  return answer;
}

void check(const ShapeRequest& request) {
  constexpr double smallest = 1e6, largest = 1e16;
  if (!(request.parameters >= smallest && request.parameters <= largest))
    throw UserError(fmt::format("a model has from {:.0e} to {:.0e} parameters here, not {:.3g}", smallest, largest,
                                request.parameters));
  for (const auto& [name, degree] : {std::pair{"tensor_parallel", request.tensor_parallel},
                                     {"stages that divide the layers", request.layers_divide_by},
                                     {"expert_parallel", request.expert_parallel}}) {
    if (degree < 1 || degree > 100'000) throw UserError(fmt::format("{} is from 1 to 100,000, not {}", name, degree));
  }
  if (!(request.tolerance > 0 && request.tolerance < 1))
    throw UserError(fmt::format("a tolerance lies between 0 and 1, not at {}", request.tolerance));
  if (!(request.sequence_length >= 1 && request.sequence_length <= 1e9))
    throw UserError(fmt::format("a sequence has from 1 to 1e9 tokens, not {}", request.sequence_length));
  if (request.vocab && (*request.vocab < 1 || *request.vocab > 100'000'000))
    throw UserError(fmt::format("a vocabulary has from 1 to 100,000,000 entries, not {}", *request.vocab));
}

}  // namespace

std::span<const ShapeFamily> shape_families() { return families; }

FlopsPerToken with_attention(const std::string& family, double sequence_length) {
  const ShapeFamily& of = family_named(family);
  return [&of, sequence_length](double parameters) {
    // N = 12 L h^2 and h = aspect L: L h = (N / 12)^(2/3) aspect^(-1/3).
    const double layers_times_width = std::pow(parameters / 12, 2.0 / 3) / std::cbrt(ideal_at(of, parameters).aspect);
    return 6 * parameters + 6 * layers_times_width * sequence_length;
  };
}

ShapeAnswer shape_of(const ShapeRequest& request) {
  check(request);
  return Search(request, family_named(request.family)).answer();
}

}  // namespace stepcast
