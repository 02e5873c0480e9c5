#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"
#include "common/delta/delta_format.h"
#include "common/delta/delta_kernels.h"

namespace cairn {

using namespace delta_internal;  // NOLINT: the numbers of DELTA.md.

namespace {

absl::Status Damaged(absl::string_view what) { return absl::DataLossError(absl::StrCat("delta: ", what)); }

absl::Status NeedsBase(absl::string_view base, absl::Span<char> target) {
  if (base.size() == target.size()) return absl::OkStatus();
  return Damaged(absl::StrCat("needs a base of ", target.size(), " bytes, found ", base.size()));
}

}  // namespace

absl::Status ReadDeltaMode(absl::string_view encoded, DeltaMode* mode) {
  if (encoded.empty()) return Damaged("no bytes");
  const auto number = static_cast<uint8_t>(encoded.front());
  if (number > static_cast<uint8_t>(DeltaMode::kRaw)) return Damaged(absl::StrCat("unknown mode ", number));
  *mode = static_cast<DeltaMode>(number);
  return absl::OkStatus();
}

class DeltaDecoder::Impl {
 public:
  Impl() : zstd_(ZSTD_createDCtx()) {}
  ~Impl() { ZSTD_freeDCtx(zstd_); }

  absl::Status Apply(absl::string_view encoded, absl::string_view base, absl::Span<char> target) {
    if (target.size() > kMaxDeltaBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("delta: a piece of ", target.size(), " bytes, expected at most ", kMaxDeltaBytes));
    }
    DeltaMode mode;
    CAIRN_RETURN_IF_ERROR(ReadDeltaMode(encoded, &mode));
    encoded.remove_prefix(1);
    if (mode == DeltaMode::kSame) {
      if (!target.empty()) CAIRN_RETURN_IF_ERROR(NeedsBase(base, target));
      if (!encoded.empty()) return Damaged(absl::StrCat(encoded.size(), " bytes behind its end"));
      if (!target.empty()) std::memcpy(target.data(), base.data(), base.size());
      return absl::OkStatus();
    }
    if (target.empty()) return Damaged("bytes for a target that has none");
    if (mode == DeltaMode::kRaw) {
      if (encoded.size() != target.size()) {
        return Damaged(absl::StrCat(encoded.size(), " raw bytes, expected ", target.size()));
      }
      std::memcpy(target.data(), encoded.data(), encoded.size());
      return absl::OkStatus();
    }
    const size_t unit = encoded.empty() ? 0 : static_cast<uint8_t>(encoded.front());
    if (!IsUnit(unit) || target.size() % unit != 0) {
      return Damaged(absl::StrCat("unit of ", unit, " bytes for a target of ", target.size()));
    }
    encoded.remove_prefix(1);
    if (mode != DeltaMode::kPlanes) CAIRN_RETURN_IF_ERROR(NeedsBase(base, target));
    if (mode == DeltaMode::kSparse) return ApplySparse(encoded, base, unit, target);
    const size_t count = target.size() / unit;
    CAIRN_RETURN_IF_ERROR(TakePlanes(&encoded, unit, count));
    MergePlanes(planes_.data(), mode == DeltaMode::kXorPlanes ? base.data() : nullptr, unit, count, target.data());
    return absl::OkStatus();
  }

 private:
  static void Grow(std::vector<char>& buffer, size_t size) {
    if (buffer.size() < size) buffer.resize(size);
  }

  absl::Status ApplySparse(absl::string_view encoded, absl::string_view base, size_t unit, absl::Span<char> target) {
    const size_t count = target.size() / unit;
    uint64_t changed = 0, position_bytes = 0;
    if (!TakeVarint(&encoded, &changed) || changed == 0 || changed > count) {
      return Damaged(absl::StrCat(changed, " changed units of ", count));
    }
    if (!TakeVarint(&encoded, &position_bytes) || position_bytes < changed ||
        position_bytes > MaxPositionBytes(changed, count)) {
      return Damaged(absl::StrCat(position_bytes, " bytes of positions for ", changed, " changed units"));
    }
    Grow(positions_, position_bytes);
    CAIRN_RETURN_IF_ERROR(TakeBlob(&encoded, absl::MakeSpan(positions_.data(), position_bytes)));
    CAIRN_RETURN_IF_ERROR(TakePlanes(&encoded, unit, changed));
    Grow(values_, changed * unit);
    MergePlanes(planes_.data(), nullptr, unit, changed, values_.data());
    std::memcpy(target.data(), base.data(), base.size());
    absl::string_view positions(positions_.data(), position_bytes);
    uint64_t at = 0;
    for (uint64_t i = 0; i < changed; ++i) {
      uint64_t gap = 0;
      // The first test keeps the second from wrapping.
      if (!TakeVarint(&positions, &gap) || gap >= count || at + gap >= count) {
        return Damaged(absl::StrCat("position ", i, " of ", changed, " lies outside of the ", count, " units"));
      }
      at += gap;
      for (size_t byte = 0; byte < unit; ++byte) target[at * unit + byte] ^= values_[i * unit + byte];
      ++at;
    }
    if (!positions.empty()) return Damaged(absl::StrCat(positions.size(), " bytes behind its positions"));
    return absl::OkStatus();
  }

  // All planes, and then nothing more.
  absl::Status TakePlanes(absl::string_view* encoded, size_t unit, size_t count) {
    Grow(planes_, unit * count);
    for (size_t plane = 0; plane < unit; ++plane) {
      CAIRN_RETURN_IF_ERROR(TakeBlob(encoded, absl::MakeSpan(planes_.data() + plane * count, count)));
    }
    if (!encoded->empty()) return Damaged(absl::StrCat(encoded->size(), " bytes behind its end"));
    return absl::OkStatus();
  }

  absl::Status TakeBlob(absl::string_view* encoded, absl::Span<char> out) {
    uint64_t header = 0;
    if (!TakeVarint(encoded, &header)) return Damaged("cut within a length");
    const uint64_t stored = header >> kCodingBits;
    const uint64_t coding = header & ((1u << kCodingBits) - 1);
    if (stored > encoded->size()) {
      return Damaged(absl::StrCat("a blob of ", stored, " bytes, of which there are ", encoded->size()));
    }
    const absl::string_view bytes = encoded->substr(0, stored);
    encoded->remove_prefix(stored);
    switch (static_cast<Coding>(coding)) {
      case Coding::kRaw:
        if (stored != out.size()) return Damaged(absl::StrCat("a blob of ", stored, " bytes, expected ", out.size()));
        std::memcpy(out.data(), bytes.data(), bytes.size());
        return absl::OkStatus();
      case Coding::kRepeat:
        if (stored != 1) return Damaged(absl::StrCat("a repeated byte of ", stored, " bytes"));
        std::memset(out.data(), static_cast<uint8_t>(bytes[0]), out.size());
        return absl::OkStatus();
      case Coding::kZstd:
        return Decompress(bytes, out);
    }
    return Damaged(absl::StrCat("unknown coding ", coding));
  }

  absl::Status Decompress(absl::string_view bytes, absl::Span<char> out) {
    // One frame, not several, and its size before any work is done.
    const unsigned long long content = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
    if (content != out.size() || ZSTD_findFrameCompressedSize(bytes.data(), bytes.size()) != bytes.size()) {
      return Damaged(absl::StrCat("no zstd frame of ", out.size(), " bytes"));
    }
    const size_t got = ZSTD_decompressDCtx(zstd_, out.data(), out.size(), bytes.data(), bytes.size());
    if (ZSTD_isError(got)) return Damaged(absl::StrCat("zstd: ", ZSTD_getErrorName(got)));
    if (got != out.size()) return Damaged(absl::StrCat("a zstd frame of ", got, " bytes, expected ", out.size()));
    return absl::OkStatus();
  }

  ZSTD_DCtx* const zstd_;
  std::vector<char> positions_, planes_, values_;
};

DeltaDecoder::DeltaDecoder() : impl_(std::make_unique<Impl>()) {}
DeltaDecoder::~DeltaDecoder() = default;
DeltaDecoder::DeltaDecoder(DeltaDecoder&&) noexcept = default;
DeltaDecoder& DeltaDecoder::operator=(DeltaDecoder&&) noexcept = default;

absl::Status DeltaDecoder::Apply(absl::string_view encoded, absl::string_view base, absl::Span<char> target) {
  return impl_->Apply(encoded, base, target);
}

}  // namespace cairn
