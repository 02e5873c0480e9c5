#include "common/format/torch/torch_file_writer.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// The folder inside of the archive. torch takes the file's name, and reads any.
constexpr absl::string_view kPrefix = "archive";
constexpr uint64_t kAlignment = 64;

std::string RecordName(absl::string_view record) { return absl::StrCat(kPrefix, "/", record); }

}  // namespace

TorchFileWriter::TorchFileWriter(ByteSink* sink) : zip_(sink, {.layout = ZipLayout::kTorch, .alignment = kAlignment}) {}

absl::Status TorchFileWriter::Start(absl::string_view pickle) {
  CAIRN_RETURN_IF_ERROR(zip_.AddEntry(RecordName("data.pkl"), pickle));
  CAIRN_RETURN_IF_ERROR(zip_.AddEntry(RecordName(".format_version"), "1"));
  CAIRN_RETURN_IF_ERROR(zip_.AddEntry(RecordName(".storage_alignment"), absl::StrCat(kAlignment)));
  return zip_.AddEntry(RecordName("byteorder"), "little");
}

absl::Status TorchFileWriter::StartStorage(uint64_t bytes) {
  return zip_.StartEntry(RecordName(absl::StrCat("data/", storages_++)), bytes);
}

absl::Status TorchFileWriter::Finish() {
  CAIRN_RETURN_IF_ERROR(zip_.AddEntry(RecordName("version"), "3\n"));
  return zip_.Finish();
}

}  // namespace cairn
