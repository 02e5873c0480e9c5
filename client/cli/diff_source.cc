#include "client/cli/diff_source.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/transfer/remote_reader.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/cairndiff/diff_file.h"
#include "common/io/posix_file.h"
#include "common/tensor/ref.h"

namespace cairn::cli {
namespace {

// Some entries of another reader.
class SelectedReader final : public CheckpointReader {
 public:
  SelectedReader(std::unique_ptr<CheckpointReader> source, const Selection& selection) : source_(std::move(source)) {
    index_.metadata = source_->index().metadata;
    for (size_t i = 0; i < source_->index().entries.size(); ++i) {
      const Entry& entry = source_->index().entries[i];
      if (!selection.Matches(entry.path)) continue;
      chosen_.push_back(i);
      index_.entries.push_back(entry);
    }
  }
  const std::vector<size_t>& chosen() const { return chosen_; }

  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t entry, uint64_t offset, absl::Span<char> dst) override {
    return source_->ReadAt(chosen_[entry], offset, dst);
  }
  absl::Status WillRead(absl::Span<const EntryRange> ranges) override {
    std::vector<EntryRange> of_source(ranges.begin(), ranges.end());
    for (EntryRange& range : of_source) range.entry = chosen_[range.entry];
    return source_->WillRead(of_source);
  }

 private:
  const std::unique_ptr<CheckpointReader> source_;
  CheckpointIndex index_;
  std::vector<size_t> chosen_;
};

// An asset as a file. One thread.
class AssetSource final : public ByteSource {
 public:
  AssetSource(std::unique_ptr<CheckpointReader> reader, std::string name)
      : reader_(std::move(reader)), size_(reader_->index().entries[0].byte_size), name_(std::move(name)) {}
  uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override { return reader_->ReadAt(0, offset, dst); }

 private:
  const std::unique_ptr<CheckpointReader> reader_;
  const uint64_t size_;
  const std::string name_;
};

absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> OpenRef(CommandContext& context, const std::string& text) {
  CAIRN_RETURN_IF_ERROR(CheckRefArgument(text));
  CAIRN_ASSIGN_OR_RETURN(client::Client client, ConnectForTransfer(context));
  absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> reader =
      transfer::RemoteReader::Open(std::move(client), text, std::nullopt);
  if (!reader.ok()) return NorAFile(reader.status(), text);
  return reader;
}

bool StoresDiff(const CheckpointIndex& index) {
  return index.entries.size() == 1 && index.entries[0].kind == EntryKind::kAsset &&
         index.entries[0].path == KeyPath::Of({kDiffAssetName});
}

// A name that was meant as a file's, and is none's, would otherwise be an error about a daemon.
absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> OpenRefArgument(CommandContext& context, const std::string& text) {
  absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> remote = OpenRef(context, text);
  if (remote.ok() || absl::StrContains(text, '@')) return remote;
  return Annotate(remote.status(), absl::StrCat("there is no file ", text, ", so it was taken for a ref"));
}

}  // namespace

absl::StatusOr<DiffSource> OpenDiffSource(CommandContext& context, const std::string& text) {
  DiffSource source;
  if (IsFileArgument(text)) {
    CAIRN_ASSIGN_OR_RETURN(OpenedFile file, OpenLocalFile(text));
    CAIRN_ASSIGN_OR_RETURN(const std::string identity, FileIdentity(file.spec.path));
    const std::filesystem::path path(file.spec.path);
    source.label = (path.has_filename() ? path : path.parent_path()).filename().string();
    source.identity = absl::StrCat(text, "\n", identity);
    source.reader = std::move(file.reader);
    return source;
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<transfer::RemoteReader> remote, OpenRefArgument(context, text));
  source.label = remote->checkpoint().ShownRef();
  source.uid_ref = source.identity = remote->checkpoint().UidRef();
  source.digests = remote->digests();
  source.reader = std::move(remote);
  return source;
}

absl::Status SelectInBoth(const std::vector<std::string>& patterns, DiffSource& first, DiffSource& second) {
  if (patterns.empty()) return absl::OkStatus();
  const absl::StatusOr<Selection> selection = Selection::Parse(patterns);
  if (!selection.ok()) return UsageError(absl::StrCat("--select: ", selection.status().message()));
  std::vector<const KeyPath*> paths;
  for (const DiffSource* source : {&first, &second}) {
    for (const Entry& entry : source->reader->index().entries) paths.push_back(&entry.path);
  }
  if (const std::vector<std::string> unmatched = selection->Unmatched(paths); !unmatched.empty()) {
    return UsageError(absl::StrCat("--select: matches nothing: ", absl::StrJoin(unmatched, ", ")));
  }
  for (DiffSource* source : {&first, &second}) {
    auto selected = std::make_unique<SelectedReader>(std::move(source->reader), *selection);
    if (!source->digests.empty()) {
      std::vector<std::string> digests;
      for (const size_t entry : selected->chosen()) digests.push_back(source->digests[entry]);
      source->digests = std::move(digests);
    }
    source->reader = std::move(selected);
    CAIRN_RETURN_IF_ERROR(source->reader->index().Check());
    absl::StrAppend(&source->identity, "\n", absl::StrJoin(patterns, "\n"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenDiffBytes(CommandContext& context, const std::string& text,
                                                          std::string* identity) {
  if (IsFileArgument(text)) {
    CAIRN_ASSIGN_OR_RETURN(FileSpec spec, ParseFileArgument(text));
    CAIRN_ASSIGN_OR_RETURN(*identity, FileIdentity(spec.path));
    std::error_code ignored;
    if (std::filesystem::is_directory(spec.path, ignored)) return std::unique_ptr<ByteSource>();
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, OpenFileSource(spec.path));
    const bool named = spec.format != nullptr && spec.format->name() == "cairndiff";
    if (!named && !LooksLikeDiffFile(*file)) file.reset();
    return file;
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<transfer::RemoteReader> remote, OpenRefArgument(context, text));
  if (!StoresDiff(remote->index())) return std::unique_ptr<ByteSource>();
  *identity = remote->checkpoint().UidRef();
  std::string name = remote->checkpoint().ShownRef();
  return std::make_unique<AssetSource>(std::move(remote), std::move(name));
}

bool IsRefTarget(const std::string& text) {
  if (IsFileArgument(text)) return false;
  const absl::StatusOr<Ref> ref = Ref::Parse(text);
  return ref.ok() && ref->step.has_value();
}

}  // namespace cairn::cli
