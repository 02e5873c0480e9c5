#include "common/format/safetensors/safetensors_header.h"

#include "common/format/folder/json_events.h"
#include "common/io/memory_io.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/safetensors_attacks.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::SafetensorsFile;
using ::cairn::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

absl::StatusOr<SafetensorsHeader> Read(const std::string& bytes, const ReadLimits& limits = {}) {
  return ReadSafetensorsHeader(MemorySource(bytes), limits);
}

// The bytes of the bytes' own size, as a header of one tensor "a" tells it.
std::string OneTensor(const std::string& members, size_t size) {
  return SafetensorsFile("{\"a\":{" + members + "}}", std::string(size, 'x'));
}

TEST(SafetensorsHeader, GivesTensorsInTheOrderOfTheirBytes) {
  CAIRN_ASSERT_OK_AND_ASSIGN(
      const SafetensorsHeader header,
      Read(SafetensorsFile(
          R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"__metadata__":{"format":"pt"},)"
          R"("z":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},)"
          R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
          "123456789")));
  EXPECT_THAT(header.metadata, ElementsAre(Pair("format", "pt")));
  ASSERT_EQ(header.tensors.size(), 3u);
  EXPECT_EQ(header.tensors[0].name, "z");
  EXPECT_EQ(header.tensors[1].name, "a");
  EXPECT_EQ(header.tensors[1].dtype, Dtype::kFloat32);
  EXPECT_EQ(header.tensors[1].shape, Shape({2}));
  EXPECT_EQ(header.tensors[2].name, "b");
  EXPECT_EQ(header.tensors[2].begin, 8u);
}

TEST(SafetensorsHeader, TakesWhatTheReferenceTakes) {
  // White space anywhere, members in any order, members that it does not know, null for no metadata.
  CAIRN_EXPECT_OK(Read(SafetensorsFile("{}")));
  CAIRN_EXPECT_OK(Read(SafetensorsFile(" \n{ } \t\r\n")));
  CAIRN_EXPECT_OK(Read(SafetensorsFile(R"({"__metadata__":null})")));
  CAIRN_EXPECT_OK(Read(SafetensorsFile(R"({"__metadata__":{}})")));
  CAIRN_EXPECT_OK(Read(OneTensor(R"("data_offsets" : [0, 2], "shape":[ 2 ],"dtype":"U8")", 2)));
  CAIRN_EXPECT_OK(Read(OneTensor(
      R"("x":[1,{"y":[null,"z",-1.5]}],"dtype":"U8","shape":[2],"data_offsets":[0,2],"x":{"dtype":[]},"w":true)",
      2)));
  CAIRN_EXPECT_OK(Read(OneTensor(R"("dtype":"F4","shape":[1,2],"data_offsets":[0,1])", 1)));
  CAIRN_EXPECT_OK(Read(OneTensor(R"("dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3])", 3)));
  CAIRN_EXPECT_OK(Read(SafetensorsFile(R"({"":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", "x")));
}

TEST(SafetensorsHeader, ReadsEveryDtypeThatTheFormatHas) {
  int dtypes = 0;
  for (const Dtype dtype : AllDtypes()) {
    const std::string name(SafetensorsDtypeName(dtype));
    if (name.empty()) continue;
    ++dtypes;
    EXPECT_EQ(SafetensorsDtype(name), dtype);
    const size_t size = ByteSize(dtype, {8}).value();
    CAIRN_ASSERT_OK_AND_ASSIGN(
        const SafetensorsHeader header,
        Read(OneTensor(
            "\"dtype\":\"" + name + "\",\"shape\":[8],\"data_offsets\":[0," + std::to_string(size) + "]",
            size)));
    EXPECT_EQ(header.tensors[0].dtype, dtype);
  }
  EXPECT_EQ(dtypes, 22);
}

TEST(SafetensorsHeader, ObeysTheLimits) {
  const std::string two = SafetensorsFile(
      R"({"first":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"second":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})");
  CAIRN_EXPECT_OK(
      Read(two, {.max_header_bytes = two.size() - 8, .max_entries = 2, .max_depth = 3, .max_name_bytes = 6}));
  EXPECT_THAT(Read(two, {.max_header_bytes = two.size() - 9}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("over the limit")));
  EXPECT_THAT(Read(two, {.max_entries = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 1")));
  EXPECT_THAT(Read(two, {.max_depth = 2}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deeper")));
  EXPECT_THAT(Read(two, {.max_name_bytes = 5}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"second\"")));
  EXPECT_THAT(Read(SafetensorsFile(R"({"__metadata__":{"k":"0123456789"}})"), {.max_value_bytes = 9}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("longer than the limit")));
  EXPECT_THAT(Read(SafetensorsFile(R"({"__metadata__":{"k":"","l":""}})"), {.max_entries = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more keys")));
}

TEST(SafetensorsHeader, NamesTheFileAndCutsLongNamesInMessages) {
  const absl::Status status = Read(SafetensorsFile("{\"" + std::string(4000, 'n') + "\n\":1}")).status();
  EXPECT_THAT(status.message(), HasSubstr("memory: "));
  const absl::Status refused = Read(SafetensorsFile("{\"" + std::string(4000, 'n') + "\":1}")).status();
  EXPECT_THAT(refused.message(), HasSubstr("nnn...\""));
  EXPECT_LT(refused.message().size(), 400u);
}

TEST(SafetensorsHeader, SerialisesWhatItReads) {
  const std::vector<SafetensorsTensor> tensors = {
      {.name = "a\"\n\x01é", .dtype = Dtype::kFloat32, .shape = {2, 3}},
      {.name = "b", .dtype = Dtype::kBool, .shape = {}}};
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string text, SerializeSafetensorsHeader({{"format", "pt"}}, tensors));
  EXPECT_EQ(text.size() % 8, 0u);
  EXPECT_EQ(text.substr(8, 2), "{\"");
  CAIRN_ASSERT_OK_AND_ASSIGN(const SafetensorsHeader header, Read(text + std::string(25, 'x')));
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_EQ(header.data_offset, text.size());
  EXPECT_EQ(header.tensors[0].name, tensors[0].name);
  EXPECT_EQ(header.tensors[1].shape, Shape());
  EXPECT_EQ(header.tensors[1].begin, 24u);
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

TEST(SafetensorsHeader, RefusesToSerialiseMoreThanTheFormatAllows) {
  const std::map<std::string, std::string> metadata = {{"k", std::string(100'000'000, 'v')}};
  EXPECT_THAT(SerializeSafetensorsHeader(metadata, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("several shards")));
}

TEST(JsonQuote, EscapesWhatJsonCannotHold) {
  EXPECT_EQ(JsonQuote("a\"\\\b\f\n\r\t\x1fz\x7fé"), "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u001fz\x7fé\"");
}

}  // namespace
}  // namespace cairn
