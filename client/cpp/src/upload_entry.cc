#include "client/cpp/src/upload_entry.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "proto/wire/proto_convert.h"

namespace cairn::client {
namespace {

// A key that is no UTF-8 could not be sent: proto3 strings are.
absl::Status CheckKeys(const KeyPath& path) {
  for (const KeyPath::Segment& segment : path.segments()) {
    const std::string* key = std::get_if<std::string>(&segment);
    if (key != nullptr && !IsUtf8(*key)) {
      return absl::InvalidArgumentError(absl::StrCat("entry \"", path.ToString(), "\": a key that is not UTF-8"));
    }
  }
  return absl::OkStatus();
}

// In place, if they lie in memory.
absl::StatusOr<Buffer> ReadFrom(EntryBytes& source, uint64_t offset, uint64_t length, BlockPool& pool) {
  if (Buffer whole = source.Borrow(offset, length); whole.size() == length) return whole;
  std::shared_ptr<char> block = pool.Take();
  CAIRN_RETURN_IF_ERROR(source.ReadAt(offset, absl::MakeSpan(block.get(), length)));
  return Buffer(absl::string_view(block.get(), length), block);
}

}  // namespace

std::string ShardKey(const KeyPath& path, const std::optional<Box>& box) {
  // The separator stands in no shown path, where control characters are escaped.
  return absl::StrCat(path.ToString(), "\x1f", box.has_value() ? box->ToString() : "");
}

absl::StatusOr<std::unique_ptr<UploadEntry>> UploadEntry::Make(Entry entry, std::optional<Box> box,
                                                               std::shared_ptr<EntryBytes> source) {
  CAIRN_RETURN_IF_ERROR(CheckKeys(entry.path));
  CAIRN_RETURN_IF_ERROR(CheckKeys(entry.target));
  CAIRN_RETURN_IF_ERROR(wire::CheckEntry(entry));
  auto upload = std::unique_ptr<UploadEntry>(new UploadEntry());
  if (entry.kind == EntryKind::kTensor) {
    upload->box_ = box.has_value() ? *std::move(box) : Box::Whole(entry.shape);
    absl::Status status = CheckBox(*upload->box_, entry.shape);
    if (status.ok()) {
      const absl::StatusOr<uint64_t> bytes = ByteSize(entry.dtype, upload->box_->extent);
      if (bytes.ok()) upload->total_ = *bytes;
      status = bytes.status();
    }
    if (!status.ok()) return Annotate(status, absl::StrCat("entry \"", entry.path.ToString(), "\""));
  } else if (box.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("entry \"", entry.path.ToString(), "\": only a tensor has a box"));
  } else if (entry.kind == EntryKind::kAsset) {
    upload->total_ = entry.byte_size;
  }
  upload->entry_ = std::move(entry);
  upload->source_ = std::move(source);
  return upload;
}

std::string UploadEntry::Key() const { return ShardKey(entry_.path, box_); }

std::string UploadEntry::ShownName() const {
  return absl::StrCat("entry \"", entry_.path.ToString(), "\"",
                      box_.has_value() ? absl::StrCat(", box ", box_->ToString()) : "");
}

void UploadEntry::Push(Buffer bytes) {
  if (bytes.empty()) return;
  const uint64_t size = bytes.size();
  pushed_.emplace_back(pushed_end_, std::move(bytes));
  pushed_end_ += size;
}

absl::StatusOr<std::vector<Buffer>> UploadEntry::Read(uint64_t offset, uint64_t length, BlockPool& pool) const {
  std::vector<Buffer> pieces;
  if (length == 0) return pieces;
  if (!pushed()) {
    CAIRN_ASSIGN_OR_RETURN(Buffer whole, ReadFrom(*source_, offset, length, pool));
    pieces.push_back(std::move(whole));
    return pieces;
  }
  auto it = std::upper_bound(pushed_.begin(), pushed_.end(), offset,
                             [](uint64_t at, const auto& item) { return at < item.first; });
  for (--it; length > 0; ++it) {
    const uint64_t skip = offset - it->first;
    const uint64_t take = std::min<uint64_t>(length, it->second.size() - skip);
    pieces.push_back(it->second.Slice(skip, take));
    offset += take;
    length -= take;
  }
  return pieces;
}

absl::StatusOr<Buffer> UploadEntry::ReadBase(uint64_t offset, uint64_t length, BlockPool& pool) const {
  return ReadFrom(*source_->base(), offset, length, pool);
}

uint64_t UploadEntry::SetDurable(uint64_t offset) {
  if (offset <= durable_) return 0;
  const uint64_t more = offset - durable_;
  durable_ = offset;
  while (!pushed_.empty() && pushed_.front().first + pushed_.front().second.size() <= durable_) pushed_.pop_front();
  pushed_end_ = std::max(pushed_end_, durable_);
  return more;
}

}  // namespace cairn::client
