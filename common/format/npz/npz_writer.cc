#include "common/format/npz/npz_writer.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/npz/npy_header.h"
#include "common/zip/zip_records.h"
#include "common/zip/zip_writer.h"

namespace cairn {
namespace {

constexpr size_t kMaxShownProblems = 5;
constexpr size_t kMaxMemberNameBytes = 0xffff;

std::string Shown(const KeyPath& path) { return zip::NameForMessage(path.ToString()); }

// Why npz cannot hold the entry; empty if it can.
std::string ReasonAgainst(const Entry& entry) {
  switch (entry.kind) {
    case EntryKind::kTensor:
      if (!NpyTypeName(entry.dtype).empty()) return "";
      return absl::StrCat("has dtype ", DtypeName(entry.dtype), ", whose name would be lost in npz: ",
                          IsFloat(entry.dtype) ? "cast it, for example with --dtype fp32" : "write another format");
    case EntryKind::kValue:
      return "is a value, which npz does not store";
    case EntryKind::kAlias:
      return absl::StrCat("is an alias of ", Shown(entry.target), ", which npz does not store");
    case EntryKind::kAsset:
      return "is a file beside the weights, which npz does not store";
  }
  return "is of a kind that npz does not know";
}

class NpzWriter final : public CheckpointWriter {
 public:
  NpzWriter(std::shared_ptr<SinkTree> tree, const WriteOptions& options) : tree_(std::move(tree)), options_(options) {}

  absl::StatusOr<std::vector<size_t>> Begin(const CheckpointIndex& index) override {
    if (index_ != nullptr) return absl::FailedPreconditionError("Begin() was called before");
    index_ = &index;
    CAIRN_RETURN_IF_ERROR(TakeEntries());
    CAIRN_RETURN_IF_ERROR(NameMembers());
    return order_;
  }

  absl::StatusOr<uint64_t> StartEntry(size_t number) override {
    if (in_entry_ || next_ == order_.size() || order_[next_] != number) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": entry ", number, " out of order"));
    }
    CAIRN_RETURN_IF_ERROR(StartFile());
    const Entry& entry = index_->entries[number];
    const std::string header = SerializeNpyHeader(entry.dtype, entry.shape);
    CAIRN_RETURN_IF_ERROR(zip_->StartEntry(members_[next_], header.size() + entry.byte_size));
    CAIRN_RETURN_IF_ERROR(zip_->Append(header));
    in_entry_ = true;
    missing_ = entry.byte_size;
    return 0;
  }

  absl::Status Append(absl::string_view bytes) override {
    if (!in_entry_) return absl::FailedPreconditionError("Append() outside of an entry");
    if (bytes.size() > missing_) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ",
                                                     bytes.size() - missing_, " bytes more than its ",
                                                     Current().byte_size));
    }
    missing_ -= bytes.size();
    return zip_->Append(bytes);
  }

  absl::Status FinishEntry() override {
    if (!in_entry_) return absl::FailedPreconditionError("FinishEntry() outside of an entry");
    if (missing_ != 0) {
      return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(Current().path), ": ", missing_, " of ",
                                                     Current().byte_size, " bytes are missing"));
    }
    in_entry_ = false;
    ++next_;
    return zip_->FinishEntry();
  }

  absl::Status Finish() override {
    if (index_ == nullptr || in_entry_ || next_ != order_.size()) {
      return absl::FailedPreconditionError(absl::StrCat(tree_->name(), ": finished before all entries were written"));
    }
    CAIRN_RETURN_IF_ERROR(StartFile());
    CAIRN_RETURN_IF_ERROR(zip_->Finish());
    zip_.reset();
    CAIRN_RETURN_IF_ERROR(sink_->Close());
    sink_.reset();
    return tree_->Commit();
  }

 private:
  const Entry& Current() const { return index_->entries[order_[next_]]; }

  absl::Status TakeEntries() {
    std::vector<std::string> problems;
    size_t problem_count = 0;
    for (size_t i = 0; i < index_->entries.size(); ++i) {
      const Entry& entry = index_->entries[i];
      const std::string why = ReasonAgainst(entry);
      if (why.empty()) {
        order_.push_back(i);
      } else if (++problem_count <= kMaxShownProblems) {
        problems.push_back(absl::StrCat(Shown(entry.path), " ", why));
      }
    }
    if (problem_count == 0 || options_.drop_unsupported) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        tree_->name(), ": ", problem_count, problem_count == 1 ? " entry does" : " entries do",
        " not fit into npz: ", absl::StrJoin(problems, "; "), problem_count > problems.size() ? "; ..." : "",
        ". To leave them out, ask to drop what is unsupported"));
  }

  absl::Status NameMembers() {
    absl::flat_hash_map<std::string, size_t> taken;
    for (const size_t number : order_) {
      const Entry& entry = index_->entries[number];
      const auto refuse = [&](absl::string_view why) {
        return absl::InvalidArgumentError(absl::StrCat(tree_->name(), ": ", Shown(entry.path), " ", why));
      };
      if (entry.path.empty()) return refuse("is the root of the tree: an array of npz needs a name");
      const std::string key = entry.path.Joined(options_.separator);
      const std::string member = absl::StrCat(key, ".npy");
      if (!IsUtf8(key)) return refuse("has a name that is not UTF-8");
      if (member.size() > kMaxMemberNameBytes) {
        return refuse(absl::StrCat("has a name of ", key.size(), " bytes, more than a zip archive can hold"));
      }
      if (const absl::Status status = zip::CheckName(member, true); !status.ok()) {
        return refuse(absl::StrCat("cannot be written: ", status.message()));
      }
      const auto [other, is_new] = taken.emplace(key, number);
      if (!is_new) {
        return refuse(absl::StrCat("and ", Shown(index_->entries[other->second].path), " are both named ",
                                   zip::NameForMessage(key), " when joined with \"", options_.separator,
                                   "\"; choose another separator"));
      }
      const absl::StatusOr<uint64_t> size = ByteSize(entry.dtype, entry.shape);
      if (!size.ok()) return Annotate(size.status(), Shown(entry.path));
      if (*size != entry.byte_size) {
        return refuse(absl::StrCat("has ", entry.byte_size, " bytes, expected ", *size, " for ", DtypeName(entry.dtype),
                                   " ", ShapeToString(entry.shape)));
      }
      members_.push_back(member);
    }
    return absl::OkStatus();
  }

  absl::Status StartFile() {
    if (zip_ != nullptr) return absl::OkStatus();
    CAIRN_ASSIGN_OR_RETURN(sink_, tree_->Create(""));
    zip_ = std::make_unique<ZipWriter>(sink_.get());
    return absl::OkStatus();
  }

  const std::shared_ptr<SinkTree> tree_;
  const WriteOptions options_;

  // The plan, made by Begin().
  const CheckpointIndex* index_ = nullptr;
  std::vector<size_t> order_;
  std::vector<std::string> members_;  // Names in the archive, in the order of order_.

  // Where we are.
  size_t next_ = 0;  // In order_.
  bool in_entry_ = false;
  uint64_t missing_ = 0;  // Bytes of the entry that have not come.
  std::unique_ptr<ByteSink> sink_;
  std::unique_ptr<ZipWriter> zip_;  // Over sink_.
};

}  // namespace

std::unique_ptr<CheckpointWriter> CreateNpzWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options) {
  return std::make_unique<NpzWriter>(std::move(sink), options);
}

}  // namespace cairn
