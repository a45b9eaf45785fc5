#pragma once
/// Whole files in and out.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace stepcast {

/// Far beyond any scenario; stops us from filling memory with a disk image given by mistake.
inline constexpr std::size_t largest_text_file = std::size_t{64} << 20;

/// The whole text of a file.
/// @throws UserError when it is missing, a directory, unreadable, larger than `limit` or not text (holds a NUL byte)
std::string read_file(const std::string& path, std::size_t limit = largest_text_file);

/// Writes the whole content or nothing: a reader never sees half a file, and a failure leaves the old one as it was.
/// Writes in place to what is no regular file (/dev/stdout, a pipe).
/// @throws UserError when that is not possible
void write_file_atomically(const std::string& path, std::string_view content);

/// Takes the pieces of a document, in order.
using Sink = std::function<void(std::string_view)>;

/// The same for a document too large to hold: `write` hands its pieces to the sink.
void write_file_atomically(const std::string& path, const std::function<void(const Sink&)>& write);

}  // namespace stepcast
