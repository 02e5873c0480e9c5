#include "tests/contract/format_contract.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/all_formats.h"
#include "common/io/memory_io.h"
#include "common/io/posix_file.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string NameOfFormat(const ::testing::TestParamInfo<FormatUnderTest>& info) {
  const std::string name(info.param.format().name());
  return info.param.variant.empty() ? name : absl::StrCat(name, "_", info.param.variant);
}

std::string PatternFor(Dtype dtype, size_t size, unsigned seed) {
  // A Boolean and a type of a few bits leave most of their byte unused.
  const bool narrow = dtype == Dtype::kBool || (dtype >= Dtype::kFloat6E2M3Fn && dtype <= Dtype::kUint2);
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<char>((seed + i * 37 + i / 251) & (narrow ? 1 : 255));
  return bytes;
}

void CheckpointContent::Add(Entry entry) {
  bytes.emplace_back();
  index.entries.push_back(std::move(entry));
}

void CheckpointContent::AddTensor(KeyPath path, Dtype dtype, Shape shape) {
  const uint64_t size = ByteSize(dtype, shape).value();
  bytes.push_back(PatternFor(dtype, size, static_cast<unsigned>(index.entries.size())));
  index.entries.push_back(Entry::Tensor(std::move(path), dtype, std::move(shape), size));
}

void CheckpointContent::AddAsset(const std::string& name, std::string content) {
  index.entries.push_back(Entry::Asset(KeyPath::Of({name}), content.size()));
  bytes.push_back(std::move(content));
}

absl::Status FormatContract::Write(const CheckpointContent& content, const std::string& path,
                                   WriteOptions options, size_t piece) const {
  options.variant = GetParam().variant;
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path, {.durable = false}));
  CAIRN_ASSIGN_OR_RETURN(const auto writer, format().Create(std::move(sink), options));
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer->Begin(content.index));
  for (const size_t entry : order) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t from, writer->StartEntry(entry));
    EXPECT_EQ(from, 0u);
    absl::string_view rest = content.bytes[entry];
    while (!rest.empty()) {
      CAIRN_RETURN_IF_ERROR(writer->Append(rest.substr(0, piece)));
      rest.remove_prefix(std::min(piece, rest.size()));
    }
    CAIRN_RETURN_IF_ERROR(writer->FinishEntry());
  }
  return writer->Finish();
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> FormatContract::Read(const std::string& path,
                                                                       ReadLimits limits) const {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> source, OpenSourceTree(path));
  return format().Open(std::move(source), {.limits = limits, .variant = GetParam().variant});
}

void FormatContract::ExpectHolds(const std::string& path, const CheckpointContent& content,
                                 size_t window) const {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Read(path));
  CAIRN_EXPECT_OK(reader->index().Check());
  const auto key = [](const Entry& entry) { return std::pair(entry.kind == EntryKind::kAsset, entry.path); };
  std::map<std::pair<bool, KeyPath>, size_t> found;
  for (size_t i = 0; i < reader->index().entries.size(); ++i)
    found.emplace(key(reader->index().entries[i]), i);
  EXPECT_EQ(reader->index().entries.size(), content.index.entries.size());
  for (size_t i = 0; i < content.index.entries.size(); ++i) {
    const Entry& expected = content.index.entries[i];
    const auto it = found.find(key(expected));
    ASSERT_NE(it, found.end()) << expected.path.ToString() << " is missing";
    const Entry& entry = reader->index().entries[it->second];
    ASSERT_EQ(entry.kind, expected.kind) << expected.path.ToString();
    EXPECT_EQ(entry.dtype, expected.dtype) << expected.path.ToString();
    EXPECT_EQ(entry.shape, expected.shape) << expected.path.ToString();
    ASSERT_EQ(entry.byte_size, expected.byte_size) << expected.path.ToString();
    EXPECT_TRUE(entry.value == expected.value)
        << expected.path.ToString() << ": " << ValueToString(entry.value) << ", expected "
        << ValueToString(expected.value);
    std::string bytes(entry.byte_size, '?');
    for (size_t at = 0; at < bytes.size(); at += window) {
      const size_t size = std::min(window, bytes.size() - at);
      CAIRN_ASSERT_OK(reader->ReadAt(it->second, at, absl::MakeSpan(bytes).subspan(at, size)));
    }
    ASSERT_TRUE(bytes == content.bytes[i]) << expected.path.ToString() << " differs";
  }
}

void FormatContract::ExpectRoundTrip(const CheckpointContent& content, WriteOptions options) const {
  CAIRN_ASSERT_OK(content.index.Check());
  CAIRN_ASSERT_OK(Write(content, path(), options));
  ExpectHolds(path(), content);
}

void FormatContract::ExpectNothingLeft() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
    names.push_back(entry.path().string());
  EXPECT_THAT(names, IsEmpty());
}

namespace {

KeyPath Name(const std::string& name) { return KeyPath::Of({name}); }

size_t FilesIn(const std::string& folder) {
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++files;
  return files;
}

CheckpointContent SmallContent() {
  CheckpointContent content;
  content.AddTensor(Name("first"), Dtype::kFloat32, {3, 5});
  content.AddTensor(Name("second"), Dtype::kInt64, {7});
  content.AddTensor(Name("third"), Dtype::kUint8, {11, 1});
  return content;
}

}  // namespace

TEST_P(FormatContract, KeepsEveryDtypeOrRefusesItByName) {
  size_t kept = 0;
  for (const Dtype dtype : AllDtypes()) {
    CheckpointContent content;
    content.AddTensor(Name("before"), Dtype::kFloat32, {2});
    content.AddTensor(Name("weights"), dtype, {3, 8});
    const std::string target = path(std::string(DtypeName(dtype)));
    const absl::Status written = Write(content, target);
    if (written.ok()) {
      ++kept;
      ExpectHolds(target, content);
      continue;
    }
    EXPECT_THAT(written,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(DtypeName(dtype)))));
    EXPECT_THAT(written.message(), HasSubstr("weights"));
    EXPECT_FALSE(std::filesystem::exists(target));
  }
  EXPECT_GE(kept, 12u);
}

TEST_P(FormatContract, KeepsShapes) {
  CheckpointContent content;
  content.AddTensor(Name("scalar"), Dtype::kFloat32, {});
  content.AddTensor(Name("one"), Dtype::kFloat32, {1});
  content.AddTensor(Name("ones"), Dtype::kFloat16, {1, 1, 1, 1, 1, 1, 1, 1});
  content.AddTensor(Name("empty"), Dtype::kFloat32, {0});
  content.AddTensor(Name("empty rows"), Dtype::kInt8, {4, 0});
  content.AddTensor(Name("no rows"), Dtype::kInt8, {0, 4, 7});
  content.AddTensor(Name("odd"), Dtype::kFloat16, {3, 1, 7});
  content.AddTensor(Name("byte"), Dtype::kUint8, {1});
  ExpectRoundTrip(content);
}

TEST_P(FormatContract, KeepsAnyPieceSizesAndReadsAnyWindow) {
  CheckpointContent content;
  content.AddTensor(Name("a"), Dtype::kUint8, {4099});
  content.AddTensor(Name("b"), Dtype::kFloat32, {3, 347});
  content.AddTensor(Name("c"), Dtype::kUint16, {1});
  for (const size_t piece : {1u, 7u, 4096u, 1u << 20}) {
    const std::string target = path(absl::StrCat("pieces-", piece));
    CAIRN_ASSERT_OK(Write(content, target, {}, piece));
    for (const size_t window : {1u, 13u, 4098u}) ExpectHolds(target, content, window);
  }
}

TEST_P(FormatContract, KeepsThousandsOfEntries) {
  CheckpointContent content;
  for (int i = 0; i < 3000; ++i) {
    content.AddTensor(Name(absl::StrCat("layers.", i, ".weight")),
                      i % 2 == 0 ? Dtype::kFloat32 : Dtype::kFloat16, {i % 5, 3});
  }
  ExpectRoundTrip(content);
}

TEST_P(FormatContract, KeepsOddNames) {
  CheckpointContent content;
  for (const std::string& name :
       {std::string("with space"), std::string("a/b"), std::string("a.b.c"), std::string("\"quoted\""),
        std::string("back\\slash"), std::string("line\nbreak"), std::string("tab\t"), std::string("\x01"),
        std::string("[7]"), std::string("*"), std::string("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x99\x82"),
        std::string("0"), std::string("None"), std::string(".."), std::string("{}"), std::string(1000, 'n'),
        std::string("")}) {
    content.AddTensor(Name(name), Dtype::kInt32, {2});
  }
  ExpectRoundTrip(content);
}

TEST_P(FormatContract, KeepsPathsOfSeveralSegmentsOrJoinsThem) {
  CheckpointContent content;
  content.AddTensor(KeyPath::Of({"params", "dense", "kernel"}), Dtype::kFloat32, {2});
  content.AddTensor(KeyPath::Of({"params", "dense", "bias"}), Dtype::kFloat32, {3});
  content.AddTensor(KeyPath::Of({"step"}), Dtype::kInt64, {});
  CAIRN_ASSERT_OK(Write(content, path(), {.separator = "~"}));
  if (!format().traits().nested_paths) {
    content.index.entries[0].path = Name("params~dense~kernel");
    content.index.entries[1].path = Name("params~dense~bias");
  }
  ExpectHolds(path(), content);
}

TEST_P(FormatContract, RefusesTwoEntriesThatJoinToOneName) {
  CheckpointContent content;
  content.AddTensor(KeyPath::Of({"a", "b"}), Dtype::kFloat32, {2});
  content.AddTensor(KeyPath::Of({"a.b"}), Dtype::kFloat32, {3});
  const absl::Status written = Write(content, path());
  // Whoever keeps paths may all the same have to give each a flat name too.
  if (format().traits().nested_paths && written.ok()) {
    ExpectHolds(path(), content);
    return;
  }
  EXPECT_THAT(written, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a/b")));
  EXPECT_THAT(written.message(), HasSubstr("a.b"));
  ExpectNothingLeft();
}

TEST_P(FormatContract, KeepsValuesOrRefusesThemByName) {
  CheckpointContent content = SmallContent();
  const CheckpointContent without = content;
  content.Add(Entry::OfValue(Name("none"), Value::None()));
  content.Add(Entry::OfValue(Name("flag"), Value::Bool(true)));
  content.Add(Entry::OfValue(Name("count"), Value::Int(-7)));
  content.Add(Entry::OfValue(Name("rate"), Value::Float(0.25)));
  content.Add(Entry::OfValue(Name("text"), Value::String("adam")));
  content.Add(Entry::OfValue(Name("raw"), Value::Bytes(std::string("\x00\xff", 2))));
  if (format().traits().values) {
    ExpectRoundTrip(content);
    return;
  }
  EXPECT_THAT(Write(content, path()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("none")));
  ExpectNothingLeft();
  CAIRN_ASSERT_OK(Write(content, path(), {.drop_unsupported = true}));
  ExpectHolds(path(), without);
}

TEST_P(FormatContract, KeepsAssetsOrRefusesThemByName) {
  CheckpointContent content = SmallContent();
  const CheckpointContent without = content;
  content.AddAsset("config.json", "{\"hidden_size\": 8}\n");
  content.AddAsset("empty.txt", "");
  if (format().traits().assets) {
    ExpectRoundTrip(content);
    return;
  }
  EXPECT_THAT(Write(content, path()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("config.json")));
  ExpectNothingLeft();
  CAIRN_ASSERT_OK(Write(content, path(), {.drop_unsupported = true}));
  ExpectHolds(path(), without);
}

TEST_P(FormatContract, KeepsAliasesOrRefusesThemByName) {
  CheckpointContent content = SmallContent();
  const CheckpointContent without = content;
  content.Add(Entry::Alias(Name("tied"), Name("first")));
  const absl::Status written = Write(content, path());
  if (written.ok()) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Read(path()));
    EXPECT_EQ(std::count_if(reader->index().entries.begin(), reader->index().entries.end(),
                            [](const Entry& entry) { return entry.path == Name("tied"); }),
              1);
    return;
  }
  EXPECT_THAT(written, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tied")));
  ExpectNothingLeft();
  CAIRN_ASSERT_OK(Write(content, path(), {.drop_unsupported = true}));
  ExpectHolds(path(), without);
}

TEST_P(FormatContract, CutsIntoShardsWhereItHasThem) {
  CheckpointContent content = SmallContent();
  content.AddTensor(Name("large"), Dtype::kFloat32, {100});
  content.AddTensor(Name("empty"), Dtype::kFloat32, {0});
  ExpectRoundTrip(content, {.max_shard_bytes = 64});
  if (!format().traits().shards) {
    // One file, alone or in a folder of its own.
    EXPECT_TRUE(std::filesystem::is_regular_file(path()) || FilesIn(path()) == 1);
    return;
  }
  const size_t files = FilesIn(path());
  EXPECT_GT(files, 3u);
}

TEST_P(FormatContract, ACheckpointWithoutEntriesIsKeptOrRefused) {
  const CheckpointContent content;
  const absl::Status written = Write(content, path());
  if (written.ok()) {
    ExpectHolds(path(), content);
  } else {
    EXPECT_THAT(written, StatusIs(absl::StatusCode::kInvalidArgument));
    ExpectNothingLeft();
  }
}

TEST_P(FormatContract, RefusesReadsThatLeaveAnEntry) {
  const CheckpointContent content = SmallContent();
  CAIRN_ASSERT_OK(Write(content, path()));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Read(path()));
  std::string bytes(2, '\0');
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    const uint64_t size = reader->index().entries[i].byte_size;
    CAIRN_EXPECT_OK(reader->ReadAt(i, size - 2, absl::MakeSpan(bytes)));
    CAIRN_EXPECT_OK(reader->ReadAt(i, size, {}));
    EXPECT_THAT(reader->ReadAt(i, size - 1, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kOutOfRange));
    EXPECT_THAT(reader->ReadAt(i, ~uint64_t{0}, absl::MakeSpan(bytes)),
                StatusIs(absl::StatusCode::kOutOfRange));
  }
}

TEST_P(FormatContract, AWriterThatIsDestroyedLeavesNothing) {
  const CheckpointContent content = SmallContent();
  WriteOptions options{.variant = GetParam().variant};
  // Stops after so many steps of: begin, start, append, finish, start, ...
  for (int steps = 0; steps <= 10; ++steps) {
    {
      CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path(), {.durable = false}));
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, format().Create(std::move(sink), options));
      std::vector<size_t> order;
      for (int step = 0; step < steps; ++step) {
        if (step == 0) {
          CAIRN_ASSERT_OK_AND_ASSIGN(order, writer->Begin(content.index));
          ASSERT_EQ(order.size(), 3u);
          continue;
        }
        const size_t entry = order[static_cast<size_t>((step - 1) / 3)];
        switch ((step - 1) % 3) {
          case 0:
            CAIRN_ASSERT_OK(writer->StartEntry(entry));
            break;
          case 1:
            CAIRN_ASSERT_OK(writer->Append(content.bytes[entry]));
            break;
          case 2:
            CAIRN_ASSERT_OK(writer->FinishEntry());
            break;
        }
      }
    }
    ExpectNothingLeft();
  }
}

TEST_P(FormatContract, RefusesAnEntryOfTheWrongLength) {
  const CheckpointContent content = SmallContent();
  for (const int difference : {-1, 1}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path(), {.durable = false}));
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer,
                               format().Create(std::move(sink), {.variant = GetParam().variant}));
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<size_t> order, writer->Begin(content.index));
    CAIRN_ASSERT_OK(writer->StartEntry(order[0]));
    std::string bytes = content.bytes[order[0]];
    bytes.resize(bytes.size() + static_cast<size_t>(difference));
    absl::Status status = writer->Append(bytes);
    if (status.ok()) status = writer->FinishEntry();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr(content.index.entries[order[0]].path.ToString())));
  }
  ExpectNothingLeft();
}

TEST_P(FormatContract, DetectsItsOwnFilesAndNotOthers) {
  CAIRN_ASSERT_OK(Write(SmallContent(), path()));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto own, OpenSourceTree(path()));
  EXPECT_TRUE(format().Detect(*own));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Format* const detected, DetectFormat(*own));
  EXPECT_EQ(detected->name(), format().name());

  const std::pair<const char*, std::string> others[] = {
      {"empty", ""},
      {"a byte", "x"},
      {"text", "Once upon a time there was a model.\n"},
      {"JSON", "{\"hidden_size\": 8, \"layers\": [1, 2, 3]}"},
      {"zip", std::string("PK\x03\x04\x14\x00\x00\x00\x08\x00\x21\x00\x00\x00\x00\x00", 16)},
      {"pickle", std::string("\x80\x02}q\x00(X\x01\x00\x00\x00"
                             "aq\x01K\x01u.",
                             17)},
      {"zeros", std::string(4096, '\0')},
      {"ones", std::string(4096, '\xff')},
      {"gzip", std::string("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 10)},
  };
  for (const auto& [what, bytes] : others) EXPECT_FALSE(format().Detect(*MemorySourceTree(bytes))) << what;
  std::filesystem::create_directory(path("folder"));
  std::ofstream(path("folder/config.json")) << "{}";
  EXPECT_FALSE(format().Detect(*OpenSourceTree(path("folder")).value()));
}

TEST_P(FormatContract, ObeysItsLimits) {
  CAIRN_ASSERT_OK(Write(SmallContent(), path()));
  CAIRN_EXPECT_OK(Read(path(), {.max_entries = 3}));
  EXPECT_THAT(Read(path(), {.max_entries = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit")));
  CAIRN_EXPECT_OK(Read(path(), {.max_name_bytes = 6}));
  EXPECT_THAT(Read(path(), {.max_name_bytes = 5}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit")));
}

// A folder in which one file has other bytes.
class ChangedFolder final : public SourceTree {
 public:
  ChangedFolder(std::unique_ptr<SourceTree> folder, std::string file, std::string bytes)
      : folder_(std::move(folder)), file_(std::move(file)), bytes_(std::move(bytes)) {}

  const std::string& name() const override { return folder_->name(); }
  bool is_directory() const override { return true; }
  absl::StatusOr<std::vector<std::string>> List() const override { return folder_->List(); }
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override {
    if (name == file_) return std::make_unique<MemorySource>(bytes_, absl::StrCat(folder_->name(), "/", file_));
    return folder_->Open(name);
  }
  absl::StatusOr<std::unique_ptr<SourceTree>> OpenFolder(const std::string& name) const override {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<SourceTree> folder, folder_->OpenFolder(name));
    const bool within = file_.starts_with(name + "/");
    return std::make_unique<ChangedFolder>(std::move(folder), within ? file_.substr(name.size() + 1) : "", bytes_);
  }

 private:
  const std::unique_ptr<SourceTree> folder_;
  const std::string file_;
  const std::string bytes_;
};

// The files of a checkpoint that can be changed: the one that it is, or those of the folder but for what describes them.
std::vector<std::string> ChangeableFiles(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.is_regular_file() && entry.path().extension() != ".json") files.push_back(entry.path().string());
  }
  return files;
}

// What is at `path`, with other bytes in one of those files.
std::shared_ptr<const SourceTree> Changed(const std::string& path, const std::string& file, std::string bytes) {
  if (file == path) return MemorySourceTree(std::move(bytes));
  return std::make_shared<ChangedFolder>(OpenSourceTree(path).value(), file.substr(path.size() + 1), std::move(bytes));
}

TEST_P(FormatContract, AFileCutShortIsNeverTakenForAWholeOne) {
  const CheckpointContent content = SmallContent();
  CAIRN_ASSERT_OK(Write(content, path()));
  for (const std::string& file : ChangeableFiles(path())) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string whole, ReadSmallFile(file, 1 << 20));
    for (size_t size = 0; size < whole.size(); ++size) {
      const auto reader = format().Open(Changed(path(), file, whole.substr(0, size)), {.variant = GetParam().variant});
      if (!reader.ok()) {
        EXPECT_THAT(reader, StatusIs(absl::StatusCode::kInvalidArgument)) << file << " " << size;
        continue;
      }
      // A format without a table of contents may end after any entry.
      EXPECT_LT((*reader)->index().entries.size(), content.index.entries.size()) << file << " " << size;
    }
  }
}

TEST_P(FormatContract, AnyByteChangedIsReadOrRefusedButNeverWorse) {
  CAIRN_ASSERT_OK(Write(SmallContent(), path()));
  for (const std::string& file : ChangeableFiles(path())) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string whole, ReadSmallFile(file, 1 << 20));
    for (size_t at = 0; at < whole.size(); ++at) {
      for (const char flip : {'\x01', '\x20', '\x80', '\xff'}) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(bytes[at] ^ flip);
        const auto reader = format().Open(Changed(path(), file, std::move(bytes)), {.variant = GetParam().variant});
        if (!reader.ok()) continue;
        for (size_t i = 0; i < (*reader)->index().entries.size(); ++i) {
          const uint64_t size = (*reader)->index().entries[i].byte_size;
          ASSERT_LE(size, whole.size());
          std::string read(size, '\0');
          (void)(*reader)->ReadAt(i, 0, absl::MakeSpan(read));
        }
      }
    }
  }
}

TEST_P(FormatContract, RefusesAVariantThatItDoesNotHave) {
  CAIRN_ASSERT_OK(Write(SmallContent(), path()));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<const SourceTree> source, OpenSourceTree(path()));
  EXPECT_THAT(format().Open(source, {.variant = "no-such"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no-such")));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path("other")));
  EXPECT_THAT(format().Create(sink, {.variant = "no-such"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no-such")));
}

}  // namespace cairn::testing
