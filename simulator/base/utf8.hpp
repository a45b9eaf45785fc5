#pragma once
/// As much of UTF-8 as messages and tables need.

#include <cstddef>
#include <string_view>

namespace stepcast {

/// The bytes of the character that begins at `at`: 1 to 4, or 0 when none validly does.
std::size_t utf8_length(std::string_view text, std::size_t at);

/// The first byte that is not part of a valid character; text.size() when all are.
std::size_t first_invalid_utf8(std::string_view text);

/// Columns that the text takes in a terminal: two for East Asian wide characters, none for combining accents.
/// A byte that is not UTF-8 counts as one.
std::size_t display_width(std::string_view text);

}  // namespace stepcast
