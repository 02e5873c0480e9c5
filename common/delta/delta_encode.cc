#include <zstd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"
#include "common/delta/delta_format.h"
#include "common/delta/delta_kernels.h"

namespace cairn {

using namespace delta_internal;  // NOLINT: the numbers of DELTA.md.

namespace {

// Of how many bytes a plane's entropy is estimated.
constexpr size_t kSampledBytes = 16u << 10;
// A plane of more bits per byte is tried on its front before zstd sees all of it: mantissas are noise.
constexpr double kNoiseBits = 7.8;
constexpr size_t kTriedBytes = 32u << 10;
// Up to one changed unit in sixteen positions always win over planes; above one in four they never do.
constexpr size_t kSurelySparse = 16;
constexpr size_t kPerhapsSparse = 4;

// Bits per byte, from runs of bytes all over the plane.
double EntropyBits(const char* bytes, size_t size) {
  if (size == 0) return 0;
  constexpr size_t kRun = 256;
  std::array<uint32_t, 256> counts = {};
  const size_t runs = std::max<size_t>(std::min(size, kSampledBytes) / kRun, 1);
  const size_t step = std::max(size / runs, size_t{1});
  size_t sampled = 0;
  for (size_t at = 0; at < size; at += step) {
    const size_t end = std::min(at + std::min(kRun, step), size);
    for (size_t i = at; i < end; ++i) ++counts[static_cast<uint8_t>(bytes[i])];
    sampled += end - at;
  }
  double bits = 0;
  for (const uint32_t count : counts) {
    if (count > 0) bits -= count * std::log2(static_cast<double>(count) / static_cast<double>(sampled));
  }
  return bits / static_cast<double>(sampled);
}

// Puts down the units that are not zero: how many zeros stand before each since the last, as varints, and the units. Returns
// the bytes of the first.
template <class T>
size_t FindChanged(const char* units, size_t count, char* positions, char* values) {
  constexpr size_t kBlock = 256 / sizeof(T);
  static constexpr std::array<char, 256> kZeros = {};
  char* position = positions;
  size_t last_end = 0;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, count);
    // Most of what is sparse is zeros, which memcmp passes in vectors.
    if (std::memcmp(units + begin * sizeof(T), kZeros.data(), (end - begin) * sizeof(T)) == 0) continue;
    for (size_t i = begin; i < end; ++i) {
      T unit;
      std::memcpy(&unit, units + i * sizeof(T), sizeof(T));
      if (unit == 0) continue;
      size_t gap = i - last_end;
      for (; gap >= 0x80; gap >>= 7) *position++ = static_cast<char>(gap | 0x80);
      *position++ = static_cast<char>(gap);
      std::memcpy(values, &unit, sizeof(T));
      values += sizeof(T);
      last_end = i + 1;
    }
  }
  return static_cast<size_t>(position - positions);
}

bool IsOneByte(const char* bytes, size_t size) { return size == 1 || std::memcmp(bytes, bytes + 1, size - 1) == 0; }

}  // namespace

size_t DeltaUnit(size_t element_bytes) {
  for (const size_t unit : {8, 4, 2}) {
    if (element_bytes % unit == 0 && element_bytes > 0) return unit;
  }
  return 1;
}

class DeltaEncoder::Impl {
 public:
  explicit Impl(int level) : zstd_(ZSTD_createCCtx()), level_(level) {}
  ~Impl() { ZSTD_freeCCtx(zstd_); }

  absl::Status Encode(absl::string_view base, absl::string_view target, size_t unit, std::string* out) {
    if (!IsUnit(unit)) return absl::InvalidArgumentError(absl::StrCat("delta: a unit of ", unit, " bytes"));
    if (target.size() > kMaxDeltaBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("delta: a piece of ", target.size(), " bytes, expected at most ", kMaxDeltaBytes));
    }
    if (target.size() % unit != 0) unit = 1;
    out->clear();
    if (target.empty()) {
      out->push_back(static_cast<char>(DeltaMode::kSame));
      return absl::OkStatus();
    }
    const size_t count = target.size() / unit;
    size_t changed = count;
    const bool has_base = base.size() == target.size();
    if (has_base) {
      Grow(xor_, target.size());
      changed = XorUnits(base.data(), target.data(), unit, count, xor_.data());
      if (changed == 0) {
        out->push_back(static_cast<char>(DeltaMode::kSame));
        return absl::OkStatus();
      }
      if (changed <= count / kPerhapsSparse) CAIRN_RETURN_IF_ERROR(EncodeSparse(unit, count, changed, out));
    }
    if (out->empty() || changed > count / kSurelySparse) {
      dense_.clear();
      CAIRN_RETURN_IF_ERROR(EncodeDense(has_base, target, unit, count, &dense_));
      if (out->empty() || dense_.size() < out->size()) out->swap(dense_);
    }
    if (out->size() > target.size()) {
      out->assign(1, static_cast<char>(DeltaMode::kRaw));
      out->append(target.data(), target.size());
    }
    return absl::OkStatus();
  }

 private:
  static void Grow(std::vector<char>& buffer, size_t size) {
    if (buffer.size() < size) buffer.resize(size);
  }

  absl::Status EncodeSparse(size_t unit, size_t count, size_t changed, std::string* out) {
    Grow(positions_, MaxPositionBytes(changed, count));
    Grow(values_, changed * unit);
    size_t position_bytes = 0;
    switch (unit) {
      case 1:
        position_bytes = FindChanged<uint8_t>(xor_.data(), count, positions_.data(), values_.data());
        break;
      case 2:
        position_bytes = FindChanged<uint16_t>(xor_.data(), count, positions_.data(), values_.data());
        break;
      case 4:
        position_bytes = FindChanged<uint32_t>(xor_.data(), count, positions_.data(), values_.data());
        break;
      default:
        position_bytes = FindChanged<uint64_t>(xor_.data(), count, positions_.data(), values_.data());
    }
    out->push_back(static_cast<char>(DeltaMode::kSparse));
    out->push_back(static_cast<char>(unit));
    PutVarint(changed, out);
    PutVarint(position_bytes, out);
    CAIRN_RETURN_IF_ERROR(PutBlob(positions_.data(), position_bytes, out));
    Grow(planes_, changed * unit);
    SplitPlanes(values_.data(), unit, changed, planes_.data());
    return PutPlanes(planes_.data(), unit, changed, out);
  }

  // Planes of the XOR or of the target, whichever has less entropy.
  absl::Status EncodeDense(bool has_base, absl::string_view target, size_t unit, size_t count, std::string* out) {
    Grow(planes_, target.size());
    SplitPlanes(target.data(), unit, count, planes_.data());
    const std::vector<char>* planes = &planes_;
    DeltaMode mode = DeltaMode::kPlanes;
    if (has_base) {
      Grow(xor_planes_, target.size());
      SplitPlanes(xor_.data(), unit, count, xor_planes_.data());
      if (Entropy(xor_planes_, unit, count) < Entropy(planes_, unit, count)) {
        planes = &xor_planes_;
        mode = DeltaMode::kXorPlanes;
      }
    }
    out->push_back(static_cast<char>(mode));
    out->push_back(static_cast<char>(unit));
    return PutPlanes(planes->data(), unit, count, out);
  }

  static double Entropy(const std::vector<char>& planes, size_t unit, size_t count) {
    double bits = 0;
    for (size_t plane = 0; plane < unit; ++plane) bits += EntropyBits(planes.data() + plane * count, count);
    return bits;
  }

  absl::Status PutPlanes(const char* planes, size_t unit, size_t count, std::string* out) {
    for (size_t plane = 0; plane < unit; ++plane) {
      CAIRN_RETURN_IF_ERROR(PutBlob(planes + plane * count, count, out));
    }
    return absl::OkStatus();
  }

  absl::Status PutBlob(const char* bytes, size_t size, std::string* out) {
    if (IsOneByte(bytes, size)) {
      PutBlobHeader(1, Coding::kRepeat, out);
      out->push_back(bytes[0]);
      return absl::OkStatus();
    }
    size_t stored = size;
    if (EntropyBits(bytes, size) < kNoiseBits || ShrinksOnTrial(bytes, size)) {
      CAIRN_ASSIGN_OR_RETURN(stored, Compress(bytes, size));
    }
    if (stored < size) {
      PutBlobHeader(stored, Coding::kZstd, out);
      out->append(compressed_.data(), stored);
    } else {
      PutBlobHeader(size, Coding::kRaw, out);
      out->append(bytes, size);
    }
    return absl::OkStatus();
  }

  static void PutBlobHeader(size_t stored, Coding coding, std::string* out) {
    PutVarint(stored << kCodingBits | static_cast<uint64_t>(coding), out);
  }

  // Noise byte by byte may still repeat.
  bool ShrinksOnTrial(const char* bytes, size_t size) {
    const size_t tried = std::min(size, kTriedBytes);
    const absl::StatusOr<size_t> stored = Compress(bytes, tried);
    return stored.ok() && *stored < tried - tried / 32;
  }

  absl::StatusOr<size_t> Compress(const char* bytes, size_t size) {
    Grow(compressed_, ZSTD_compressBound(size));
    const size_t stored = ZSTD_compressCCtx(zstd_, compressed_.data(), compressed_.size(), bytes, size, level_);
    if (ZSTD_isError(stored)) return absl::InternalError(absl::StrCat("zstd: ", ZSTD_getErrorName(stored)));
    return stored;
  }

  ZSTD_CCtx* const zstd_;
  const int level_;
  std::vector<char> xor_, positions_, values_, planes_, xor_planes_, compressed_;
  std::string dense_;
};

DeltaEncoder::DeltaEncoder(int level) : impl_(std::make_unique<Impl>(level)) {}
DeltaEncoder::~DeltaEncoder() = default;
DeltaEncoder::DeltaEncoder(DeltaEncoder&&) noexcept = default;
DeltaEncoder& DeltaEncoder::operator=(DeltaEncoder&&) noexcept = default;

absl::Status DeltaEncoder::Encode(absl::string_view base, absl::string_view target, size_t unit,
                                  std::string* encoded) {
  return impl_->Encode(base, target, unit, encoded);
}

}  // namespace cairn
