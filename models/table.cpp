#include "models/families.hpp"

namespace stepcast {
namespace {

bool is_dense(const Architecture& model) { return !model.moe && !model.mla && model.ffn; }

constexpr ModelFamily families[] = {
    {"dense", "decoder-only transformer, GPT and Llama styles", is_dense, dense_transformer},
};

}  // namespace

std::span<const ModelFamily> model_families() { return families; }

const ModelFamily* family_of(const Architecture& model) {
  for (const ModelFamily& family : families) {
    if (family.accepts(model)) return &family;
  }
  return nullptr;
}

}  // namespace stepcast
