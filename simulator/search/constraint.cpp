#include "simulator/search/constraint.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <variant>

#include <fmt/format.h>

#include "simulator/base/error.hpp"
#include "simulator/search/plan_keys.hpp"

namespace stepcast {
namespace {

struct JobName {
  std::string_view name;
  std::string_view meaning;
  double (*value)(const Job&);
};

constexpr JobName job_names[] = {
    {"gpus", "GPUs of the cluster", [](const Job& j) { return static_cast<double>(j.cluster.gpus); }},
    {"gpus_per_node", "GPUs of a node", [](const Job& j) { return static_cast<double>(j.cluster.gpus_per_node); }},
    {"data_parallel", "replicas", [](const Job& j) { return static_cast<double>(j.plan.data_parallel); }},
    {"microbatches", "of one replica in a step",
     [](const Job& j) { return static_cast<double>(j.plan.microbatches()); }},
    {"sequence_length", "tokens", [](const Job& j) { return static_cast<double>(j.plan.sequence_length); }},
    {"layers", "of the model", [](const Job& j) { return static_cast<double>(j.model.layers); }},
    {"heads", "of the model's attention", [](const Job& j) { return static_cast<double>(j.model.heads); }},
    {"kv_heads", "key and value heads", [](const Job& j) { return static_cast<double>(j.model.kv_heads); }},
    {"hidden", "the model's width", [](const Job& j) { return static_cast<double>(j.model.hidden); }},
    {"experts", "of a layer; 0: none",
     [](const Job& j) { return j.model.moe ? static_cast<double>(j.model.moe->experts) : 0.0; }},
};

using Value = PlanValue;

double number(const Value& value) {
  const double* held = std::get_if<double>(&value);
  return held != nullptr ? *held : std::nan("");
}
bool truth(const Value& value) {
  const double held = number(value);
  return held != 0 && !std::isnan(held);
}

}  // namespace

struct Constraint::Node {
  enum class Kind { number, word, plan, job, unary, binary } kind = Kind::number;
  double number = 0;
  std::string word;  ///< or the operator
  const PlanKey* key = nullptr;
  const JobName* of_job = nullptr;
  std::shared_ptr<const Node> left, right;

  Value value(const Job& job) const {
    switch (kind) {
      case Kind::number: return number;
      case Kind::word: return std::string_view(word);
      case Kind::plan: return value_of(job.plan, *key);
      case Kind::job: return of_job->value(job);
      case Kind::unary: return word == "not" ? double(!truth(left->value(job))) : -stepcast::number(left->value(job));
      case Kind::binary: break;
    }
    if (word == "and") return double(truth(left->value(job)) && truth(right->value(job)));
    if (word == "or") return double(truth(left->value(job)) || truth(right->value(job)));
    const Value a = left->value(job), b = right->value(job);
    if (word == "==") return double(a == b);
    if (word == "!=") return double(a != b);
    const double x = stepcast::number(a), y = stepcast::number(b);
    if (word == "<") return double(x < y);
    if (word == "<=") return double(x <= y);
    if (word == ">") return double(x > y);
    if (word == ">=") return double(x >= y);
    if (word == "+") return x + y;
    if (word == "-") return x - y;
    if (word == "*") return x * y;
    if (word == "/") return x / y;
    return std::fmod(x, y);
  }
};

namespace {

using Node = Constraint::Node;
using NodePtr = std::shared_ptr<const Node>;

/// Recursive descent: or < and < not < comparison < sum < product < sign.
class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) { next(); }

  NodePtr parse() {
    NodePtr root = any();
    if (!token_.empty()) fail(fmt::format("unexpected '{}'", token_));
    check(root, nullptr);
    return root;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw UserError(fmt::format("constraint '{}': {} at column {}", text_, problem, begin_ + 1));
  }

  static bool is_name(const std::string& text) {
    return find_plan_key(text) != nullptr || std::any_of(std::begin(job_names), std::end(job_names),
                                                         [&](const JobName& known) { return known.name == text; });
  }

  [[noreturn]] void unknown(const std::string& word) const {
    std::vector<std::string> names;
    for (const PlanKey& known : plan_keys()) names.emplace_back(known.name);
    for (const JobName& known : job_names) names.emplace_back(known.name);
    throw UserError(fmt::format("constraint '{}': {}", text_, unknown_name("name", word, names)));
  }

  /// A word is a value, to be compared with a key of the plan; anywhere else it is a name that there is not.
  void check(const NodePtr& node, const Node* compared_with) const {
    if (node->kind == Node::Kind::word && (compared_with == nullptr || compared_with->kind != Node::Kind::plan)) {
      unknown(node->word);
    }
    const bool compares = node->kind == Node::Kind::binary && (node->word == "==" || node->word == "!=");
    if (node->left) check(node->left, compares ? node->right.get() : nullptr);
    if (node->right) check(node->right, compares ? node->left.get() : nullptr);
  }

  void next() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    begin_ = at_;
    quoted_ = false;
    token_.clear();
    if (at_ == text_.size()) return;
    const char c = text_[at_];
    const auto word = [](char x) { return std::isalnum(static_cast<unsigned char>(x)) || x == '_' || x == '.'; };
    if (c == '"' || c == '\'') {
      const std::size_t end = text_.find(c, at_ + 1);
      if (end == std::string::npos) fail("a quote is not closed");
      token_ = text_.substr(at_ + 1, end - at_ - 1);
      quoted_ = true;
      at_ = end + 1;
    } else if (word(c)) {
      // Names of schedules and policies have dashes: between letters, without spaces, they belong to the word.
      const auto dash = [&] {
        return text_[at_] == '-' && at_ + 1 < text_.size() && word(text_[at_ + 1]) && !is_name(token_);
      };
      const bool letters = std::isalpha(static_cast<unsigned char>(c));
      while (at_ < text_.size() && (word(text_[at_]) || (letters && dash()))) token_ += text_[at_++];
    } else {
      token_ = c;
      ++at_;
      if (at_ < text_.size() && text_[at_] == '=' && std::string_view("=!<>").find(c) != std::string_view::npos) {
        token_ += '=';
        ++at_;
      }
    }
  }

  bool take(std::string_view word) {
    if (quoted_ || token_ != word) return false;
    next();
    return true;
  }

  template <class Below>
  NodePtr chain(std::initializer_list<std::string_view> operators, Below&& below, bool once = false) {
    NodePtr left = below();
    for (bool found = true; found;) {
      found = false;
      for (const std::string_view op : operators) {
        if (!take(op)) continue;
        auto node = std::make_shared<Node>();
        node->kind = Node::Kind::binary;
        node->word = op;
        node->left = left;
        node->right = below();
        left = node;
        found = !once;
        break;
      }
    }
    return left;
  }

  NodePtr any() {
    return chain({"or"}, [&] { return all(); });
  }
  NodePtr all() {
    return chain({"and"}, [&] { return negation(); });
  }
  NodePtr negation() {
    if (!take("not")) return comparison();
    auto node = std::make_shared<Node>();
    node->kind = Node::Kind::unary;
    node->word = "not";
    node->left = negation();
    return node;
  }
  NodePtr comparison() {
    return chain(
        {"==", "!=", "<=", ">=", "<", ">"}, [&] { return sum(); }, true);
  }
  NodePtr sum() {
    return chain({"+", "-"}, [&] { return product(); });
  }
  NodePtr product() {
    return chain({"*", "/", "%"}, [&] { return sign(); });
  }
  NodePtr sign() {
    if (!take("-")) return primary();
    auto node = std::make_shared<Node>();
    node->kind = Node::Kind::unary;
    node->word = "-";
    node->left = sign();
    return node;
  }

  NodePtr primary() {
    if (depth_ > 100) fail("too many parentheses");
    if (take("(")) {
      ++depth_;
      NodePtr inner = any();
      --depth_;
      if (!take(")")) fail("a ')' is missing");
      return inner;
    }
    if (token_.empty() && !quoted_) fail("it ends too early");
    auto node = std::make_shared<Node>();
    const std::string token = token_;
    if (quoted_) {
      node->kind = Node::Kind::word;
      node->word = token;
    } else if (std::isdigit(static_cast<unsigned char>(token[0]))) {
      std::size_t used = 0;
      try {
        node->number = std::stod(token, &used);
      } catch (const std::exception&) {
        used = 0;
      }
      if (used != token.size()) {  // 1f1b
        node->kind = Node::Kind::word;
        node->word = token;
      }
    } else if (token == "true" || token == "false") {
      node->number = token == "true";
    } else if (!std::isalpha(static_cast<unsigned char>(token[0]))) {
      fail(fmt::format("unexpected '{}'", token));
    } else if (const PlanKey* key = find_plan_key(token)) {
      node->kind = Node::Kind::plan;
      node->key = key;
    } else if (const auto* of_job = std::find_if(std::begin(job_names), std::end(job_names),
                                                 [&](const JobName& known) { return known.name == token; });
               of_job != std::end(job_names)) {
      node->kind = Node::Kind::job;
      node->of_job = of_job;
    } else {
      node->kind = Node::Kind::word;
      node->word = token;
    }
    next();
    return node;
  }

  const std::string& text_;
  std::size_t at_ = 0, begin_ = 0;
  std::string token_;
  bool quoted_ = false;
  int depth_ = 0;
};

}  // namespace

Constraint::Constraint(const std::string& text) : text_(text), root_(Parser(text).parse()) {}
Constraint::~Constraint() = default;
Constraint::Constraint(Constraint&&) noexcept = default;
Constraint& Constraint::operator=(Constraint&&) noexcept = default;

bool Constraint::holds(const Job& job) const { return truth(root_->value(job)); }

std::vector<std::pair<std::string, std::string>> constraint_names() {
  std::vector<std::pair<std::string, std::string>> names;
  for (const JobName& known : job_names) names.emplace_back(known.name, known.meaning);
  return names;
}

}  // namespace stepcast
