#include "common/format/dcp/zstd_source.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr int kMaxWindowLog = 23;
constexpr size_t kInputBytes = 64u << 10;
constexpr size_t kPieceBytes = 64u << 10;
constexpr size_t kHeadBytes = 256u << 10;
constexpr size_t kTailBytes = 64u << 10;

// One pass over the frames.
class Decoder {
 public:
  // Null if there is no memory for it.
  static std::unique_ptr<Decoder> Create() {
    auto decoder = std::unique_ptr<Decoder>(new Decoder);
    decoder->stream_ = ::ZSTD_createDStream();
    if (decoder->stream_ == nullptr) return nullptr;
    if (::ZSTD_isError(::ZSTD_DCtx_setParameter(decoder->stream_, ZSTD_d_windowLogMax, kMaxWindowLog)) != 0)
      return nullptr;
    return decoder;
  }
  ~Decoder() { ::ZSTD_freeDStream(stream_); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  uint64_t produced() const { return produced_; }

  // Fills `dst`, or as much of it as there is before the end.
  absl::StatusOr<size_t> Decode(const ByteSource& compressed, absl::Span<char> dst) {
    ZSTD_outBuffer out = {dst.data(), dst.size(), 0};
    while (out.pos < out.size) {
      if (in_.pos == in_.size && consumed_ < compressed.size()) CAIRN_RETURN_IF_ERROR(FillInput(compressed));
      const size_t before = out.pos, input_before = in_.pos;
      // At the end of a frame there may be no more, and a call would begin the next one.
      if (in_.pos == in_.size && in_frame_ == false) break;
      const size_t result = ::ZSTD_decompressStream(stream_, &out, &in_);
      if (::ZSTD_isError(result) != 0) return Damaged(compressed, ::ZSTD_getErrorName(result));
      in_frame_ = result != 0;
      if (out.pos == before && in_.pos == input_before && in_frame_) {
        return Damaged(compressed, "it ends in the middle of a frame");
      }
    }
    produced_ += out.pos;
    return out.pos;
  }

 private:
  Decoder() : input_(kInputBytes) {}

  absl::Status FillInput(const ByteSource& compressed) {
    const size_t size = std::min<uint64_t>(input_.size(), compressed.size() - consumed_);
    CAIRN_RETURN_IF_ERROR(compressed.ReadAt(consumed_, absl::MakeSpan(input_).first(size)));
    consumed_ += size;
    in_ = {input_.data(), size, 0};
    return absl::OkStatus();
  }

  absl::Status Damaged(const ByteSource& compressed, absl::string_view why) const {
    return absl::InvalidArgumentError(
        absl::StrCat(compressed.name(), ": damaged zstd near its byte ", consumed_ - (in_.size - in_.pos), ": ", why));
  }

  ZSTD_DStream* stream_ = nullptr;
  std::vector<char> input_;
  ZSTD_inBuffer in_ = {nullptr, 0, 0};
  bool in_frame_ = false;
  uint64_t consumed_ = 0;  // Compressed bytes that were read.
  uint64_t produced_ = 0;
};

class ZstdSource final : public ByteSource {
 public:
  explicit ZstdSource(std::shared_ptr<const ByteSource> compressed) : compressed_(std::move(compressed)) {}

  absl::Status FindSize(uint64_t max_bytes) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Decoder> decoder, NewDecoder());
    std::vector<char> piece(kPieceBytes);
    std::string last;  // The piece before this one.
    for (;;) {
      CAIRN_ASSIGN_OR_RETURN(const size_t size, decoder->Decode(*compressed_, absl::MakeSpan(piece)));
      if (decoder->produced() > max_bytes) {
        return absl::InvalidArgumentError(
            absl::StrCat(name(), ": decompresses to more than the expected ", max_bytes, " bytes"));
      }
      head_.append(piece.data(), std::min(size, kHeadBytes - head_.size()));
      if (size < piece.size()) {
        tail_ = last + std::string(piece.data(), size);
        break;
      }
      last.assign(piece.data(), size);
    }
    size_ = decoder->produced();
    if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
    return absl::OkStatus();
  }

  uint64_t size() const override { return size_; }
  const std::string& name() const override { return compressed_->name(); }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override ABSL_LOCKS_EXCLUDED(mu_) {
    if (offset > size_ || dst.size() > size_ - offset) {
      return absl::OutOfRangeError(
          absl::StrCat(name(), ": bytes [", offset, ", ", offset, "+", dst.size(), ") of ", size_));
    }
    if (dst.empty()) return absl::OkStatus();
    if (offset + dst.size() <= head_.size()) {
      std::memcpy(dst.data(), head_.data() + offset, dst.size());
      return absl::OkStatus();
    }
    if (offset >= size_ - tail_.size()) {
      std::memcpy(dst.data(), tail_.data() + (offset - (size_ - tail_.size())), dst.size());
      return absl::OkStatus();
    }
    absl::MutexLock lock(&mu_);
    const absl::Status status = ReadLocked(offset, dst);
    if (!status.ok()) decoder_.reset();
    return status;
  }

 private:
  absl::StatusOr<std::unique_ptr<Decoder>> NewDecoder() const {
    std::unique_ptr<Decoder> decoder = Decoder::Create();
    if (decoder == nullptr) return absl::ResourceExhaustedError(absl::StrCat(name(), ": no memory to decompress it"));
    return decoder;
  }

  absl::Status ReadLocked(uint64_t offset, absl::Span<char> dst) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (decoder_ == nullptr || decoder_->produced() > offset) {
      CAIRN_ASSIGN_OR_RETURN(decoder_, NewDecoder());
    }
    std::vector<char> skipped(std::min<uint64_t>(kPieceBytes, offset - decoder_->produced()));
    while (decoder_->produced() < offset) {
      const size_t size = std::min<uint64_t>(skipped.size(), offset - decoder_->produced());
      CAIRN_RETURN_IF_ERROR(Produce(absl::MakeSpan(skipped).first(size)));
    }
    return Produce(dst);
  }

  absl::Status Produce(absl::Span<char> dst) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    CAIRN_ASSIGN_OR_RETURN(const size_t made, decoder_->Decode(*compressed_, dst));
    if (made == dst.size()) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(name(), ": decompresses to ", decoder_->produced(), " bytes, and to ",
                                            size_, " before: it changed while it was read"));
  }

  const std::shared_ptr<const ByteSource> compressed_;
  uint64_t size_ = 0;
  std::string head_, tail_;
  mutable absl::Mutex mu_;
  mutable std::unique_ptr<Decoder> decoder_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> OpenZstdSource(std::shared_ptr<const ByteSource> compressed,
                                                           uint64_t max_bytes) {
  auto source = std::make_unique<ZstdSource>(std::move(compressed));
  CAIRN_RETURN_IF_ERROR(source->FindSize(max_bytes));
  return source;
}

}  // namespace cairn
