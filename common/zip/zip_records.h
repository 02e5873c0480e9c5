#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// The records of a zip archive, as APPNOTE.TXT 6.3.10 has them: sizes, signatures, and the places of their fields.
namespace cairn::zip {

inline constexpr uint32_t kLocalSignature = 0x04034b50;
inline constexpr uint32_t kDescriptorSignature = 0x08074b50;
inline constexpr uint32_t kDirectorySignature = 0x02014b50;
inline constexpr uint32_t kEndSignature = 0x06054b50;
inline constexpr uint32_t kEnd64Signature = 0x06064b50;
inline constexpr uint32_t kLocatorSignature = 0x07064b50;

// Of the fixed part.
inline constexpr uint64_t kLocalBytes = 30;
inline constexpr uint64_t kDirectoryBytes = 46;
inline constexpr uint64_t kEndBytes = 22;
inline constexpr uint64_t kEnd64Bytes = 56;
inline constexpr uint64_t kEnd64Uncounted = 12;  // Its signature and size, which the size leaves out.
inline constexpr uint64_t kLocatorBytes = 20;

inline constexpr uint16_t kFlagEncrypted = 1u << 0;
inline constexpr uint16_t kFlagDescriptor = 1u << 3;  // Sizes and CRC stand behind the content.
inline constexpr uint16_t kFlagPatch = 1u << 5;
inline constexpr uint16_t kFlagStrongEncryption = 1u << 6;
inline constexpr uint16_t kFlagUtf8 = 1u << 11;
inline constexpr uint16_t kFlagMasked = 1u << 13;

inline constexpr uint16_t kZip64Tag = 0x0001;
// What a field of 16 or 32 bits holds where the value stands in a zip64 record.
inline constexpr uint16_t kIn64Short = 0xffff;
inline constexpr uint32_t kIn64 = 0xffffffff;

// Little-endian numbers out of a record. The caller has checked its length.
uint16_t Get16(absl::string_view record, size_t at);
uint32_t Get32(absl::string_view record, size_t at);
uint64_t Get64(absl::string_view record, size_t at);

void Put16(std::string* out, uint64_t value);
void Put32(std::string* out, uint64_t value);
void Put64(std::string* out, uint64_t value);

// The value of an extra field with that tag, or nothing (data() == nullptr). INVALID_ARGUMENT if the fields do not fill
// `extra` exactly.
absl::Status FindExtra(absl::string_view extra, uint16_t tag, absl::string_view* value);

// INVALID_ARGUMENT for a name that a tool which unpacks archives could be tricked with: empty, a NUL byte, absolute, a
// ".." segment. `utf8`: it must be UTF-8.
absl::Status CheckName(absl::string_view name, bool utf8);

// A name from a file, for a message: quoted, printable, of bounded length.
std::string NameForMessage(absl::string_view name);

}  // namespace cairn::zip
