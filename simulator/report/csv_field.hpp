#pragma once

#include <string>

namespace stepcast {

/// `text` as one field of a CSV row (RFC 4180): quoted when it holds a comma, a quote or a line break.
std::string csv_field(const std::string& text);

}  // namespace stepcast
