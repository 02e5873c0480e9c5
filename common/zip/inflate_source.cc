#include "common/zip/inflate_source.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"
#include "common/zip/crc32.h"

namespace cairn::zip {
namespace {

constexpr size_t kInputBytes = 32u << 10;
constexpr size_t kSkipBytes = 32u << 10;

absl::Status CheckRange(const ByteSource& source, uint64_t offset, size_t size) {
  if (offset <= source.size() && size <= source.size() - offset) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat(source.name(), ": bytes [", offset, ", ", offset, "+", size, ") of ", source.size()));
}

absl::Status CrcDiffers(const std::string& name, uint32_t found, uint32_t expected) {
  return absl::DataLossError(absl::StrFormat(
      "%s: its bytes have CRC-32 %08x, expected %08x as the archive says: it is damaged", name, found, expected));
}

// One pass over a raw deflate stream.
class Inflater {
 public:
  // Null if there is no memory for it.
  static std::unique_ptr<Inflater> Create() {
    auto inflater = std::unique_ptr<Inflater>(new Inflater);
    if (::inflateInit2(&inflater->stream_, -MAX_WBITS) != Z_OK) return nullptr;
    inflater->started_ = true;
    return inflater;
  }
  ~Inflater() {
    if (started_) ::inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  uint64_t produced() const { return produced_; }
  uint32_t crc() const { return crc_; }

  // Fills `dst`, or as much of it as there is before the end of the stream.
  absl::StatusOr<size_t> Inflate(const ByteSource& compressed, absl::Span<char> dst) {
    size_t done = 0;
    while (done < dst.size() && !ended_) {
      if (stream_.avail_in == 0) CAIRN_RETURN_IF_ERROR(FillInput(compressed));
      const size_t room = std::min<size_t>(dst.size() - done, std::numeric_limits<uInt>::max());
      stream_.next_out = reinterpret_cast<Bytef*>(dst.data() + done);
      stream_.avail_out = static_cast<uInt>(room);
      const uInt input_before = stream_.avail_in;
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      const size_t made = room - stream_.avail_out;
      done += made;
      if (result == Z_STREAM_END) {
        ended_ = true;
      } else if (result == Z_MEM_ERROR) {
        return absl::ResourceExhaustedError(absl::StrCat(compressed.name(), ": no memory to inflate it"));
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return Damaged(compressed, stream_.msg != nullptr ? stream_.msg : "not a deflate stream");
      } else if (made == 0 && stream_.avail_in == input_before) {
        return Damaged(compressed, "it ends in the middle of the deflate stream");
      }
    }
    crc_ = ExtendCrc32(crc_, absl::string_view(dst.data(), done));
    produced_ += done;
    return done;
  }

  // To be called when all content was produced: the stream ends here, and with it its bytes.
  absl::Status CheckEnd(const ByteSource& compressed) {
    char more;
    CAIRN_ASSIGN_OR_RETURN(const size_t extra, Inflate(compressed, absl::MakeSpan(&more, 1)));
    if (extra != 0) {
      return Damaged(compressed, absl::StrCat("it inflates to more than the ", produced_ - extra,
                                              " bytes that the directory claims"));
    }
    if (stream_.avail_in != 0 || !AtEndOf(compressed)) {
      return Damaged(compressed,
                     absl::StrCat("its deflate stream ends ", stream_.avail_in + compressed.size() - consumed_,
                                  " bytes before the entry does"));
    }
    return absl::OkStatus();
  }

 private:
  Inflater() : input_(kInputBytes) {}

  bool AtEndOf(const ByteSource& compressed) const { return consumed_ == compressed.size(); }

  absl::Status FillInput(const ByteSource& compressed) {
    const size_t size = std::min<uint64_t>(input_.size(), compressed.size() - consumed_);
    CAIRN_RETURN_IF_ERROR(compressed.ReadAt(consumed_, absl::MakeSpan(input_.data(), size)));
    consumed_ += size;
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(size);
    return absl::OkStatus();
  }

  absl::Status Damaged(const ByteSource& compressed, absl::string_view why) const {
    return absl::InvalidArgumentError(absl::StrCat(compressed.name(), ": damaged near its compressed byte ",
                                                   consumed_ - stream_.avail_in, ": ", why));
  }

  z_stream stream_ = {};
  bool started_ = false;
  bool ended_ = false;
  std::vector<char> input_;
  uint64_t consumed_ = 0;  // Compressed bytes read; avail_in of them are still in input_.
  uint64_t produced_ = 0;
  uint32_t crc_ = 0;
};

class InflateSource final : public ByteSource {
 public:
  InflateSource(std::unique_ptr<ByteSource> compressed, uint64_t size, uint32_t crc)
      : compressed_(std::move(compressed)), size_(size), crc_(crc) {}

  uint64_t size() const override { return size_; }
  const std::string& name() const override { return compressed_->name(); }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override ABSL_LOCKS_EXCLUDED(mu_) {
    CAIRN_RETURN_IF_ERROR(CheckRange(*this, offset, dst.size()));
    if (dst.empty() && size_ != 0) return absl::OkStatus();
    absl::MutexLock lock(&mu_);
    const absl::Status status = ReadLocked(offset, dst);
    if (!status.ok()) inflater_.reset();
    return status;
  }

 private:
  absl::Status ReadLocked(uint64_t offset, absl::Span<char> dst) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (inflater_ == nullptr || inflater_->produced() > offset) {
      inflater_ = Inflater::Create();
      if (inflater_ == nullptr) return absl::ResourceExhaustedError(absl::StrCat(name(), ": no memory to inflate it"));
    }
    std::vector<char> skipped(std::min<uint64_t>(kSkipBytes, offset - inflater_->produced()));
    while (inflater_->produced() < offset) {
      const size_t size = std::min<uint64_t>(skipped.size(), offset - inflater_->produced());
      CAIRN_RETURN_IF_ERROR(Produce(absl::MakeSpan(skipped.data(), size)));
    }
    CAIRN_RETURN_IF_ERROR(Produce(dst));
    if (inflater_->produced() != size_) return absl::OkStatus();
    CAIRN_RETURN_IF_ERROR(inflater_->CheckEnd(*compressed_));
    if (crc_ != 0 && inflater_->crc() != crc_) return CrcDiffers(name(), inflater_->crc(), crc_);
    return absl::OkStatus();
  }

  absl::Status Produce(absl::Span<char> dst) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    CAIRN_ASSIGN_OR_RETURN(const size_t made, inflater_->Inflate(*compressed_, dst));
    if (made == dst.size()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(name(), ": inflates to ", inflater_->produced(), " bytes, expected ",
                                                   size_, " as the directory claims"));
  }

  const std::unique_ptr<ByteSource> compressed_;
  const uint64_t size_;
  const uint32_t crc_;
  mutable absl::Mutex mu_;
  mutable std::unique_ptr<Inflater> inflater_ ABSL_GUARDED_BY(mu_);
};

class CrcCheckedSource final : public ByteSource {
 public:
  CrcCheckedSource(std::unique_ptr<ByteSource> stored, uint32_t crc) : stored_(std::move(stored)), crc_(crc) {}

  uint64_t size() const override { return stored_->size(); }
  const std::string& name() const override { return stored_->name(); }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override ABSL_LOCKS_EXCLUDED(mu_) {
    CAIRN_RETURN_IF_ERROR(stored_->ReadAt(offset, dst));
    absl::MutexLock lock(&mu_);
    if (offset == 0) {
      next_ = 0;
      found_ = 0;
    }
    if (offset != next_ || dst.empty()) return absl::OkStatus();
    found_ = ExtendCrc32(found_, absl::string_view(dst.data(), dst.size()));
    next_ += dst.size();
    if (next_ == size() && found_ != crc_) return CrcDiffers(name(), found_, crc_);
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<ByteSource> stored_;
  const uint32_t crc_;
  mutable absl::Mutex mu_;
  mutable uint64_t next_ ABSL_GUARDED_BY(mu_) = 0;  // The bytes before it have been summed up.
  mutable uint32_t found_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace

std::unique_ptr<ByteSource> MakeInflateSource(std::unique_ptr<ByteSource> compressed, uint64_t size, uint32_t crc) {
  return std::make_unique<InflateSource>(std::move(compressed), size, crc);
}

std::unique_ptr<ByteSource> MakeCrcCheckedSource(std::unique_ptr<ByteSource> stored, uint32_t crc) {
  return std::make_unique<CrcCheckedSource>(std::move(stored), crc);
}

}  // namespace cairn::zip
