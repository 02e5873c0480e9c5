#include "common/pickle/pickle_subtree.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/pickle/pickle_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/pickle_attacks.h"
#include "tests/testing/pickle_canonical.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::CanonicalPickle;
using ::cairn::testing::IsOk;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr uint64_t kPlenty = 1u << 30;

template <size_t kSize>
std::string Raw(const char (&bytes)[kSize]) {
  return std::string(bytes, kSize - 1);
}

std::string Show(const std::string& pickle) {
  const absl::StatusOr<PickleTree> tree = ReadPickle(pickle, "test");
  return tree.ok() ? CanonicalPickle(*tree, tree->root()) : tree.status().ToString();
}

std::string Copy(const std::string& pickle, int protocol) {
  const absl::StatusOr<PickleTree> tree = ReadPickle(pickle, "test");
  if (!tree.ok()) return tree.status().ToString();
  const absl::StatusOr<std::string> copy = SubtreeAsPickle(*tree, tree->root(), kPlenty, protocol);
  return copy.ok() ? *copy : copy.status().ToString();
}

TEST(WriteSubtree, SharedObjectsStaySharedAndCyclesStayCycles) {
  const std::string kPickles[] = {
      "]p0\ng0\na.",  // A list of itself.
      Raw("]q\0(h\0h\0\x85q\x01h\x01"
          "e."),  // A list and a tuple of it, twice.
      Raw("]q\0h\0\x85q\x01"
          "a0h\x01."),  // A tuple of a list of the tuple, from the tuple on.
      Raw("]q\0h\0\x88\x86q\x01"
          "a0h\x01."),
      Raw("]q\0(]q\x02h\0\x85q\x01h\x02\x86q\x03h\x03h\x01"
          "e0h\x03."),
      Raw("}q\0h\0h\0\x85s."),   // A dict by itself and of itself.
      Raw("ca\nB\n)Rq\0h\0b."),  // An object whose state is itself.
      Raw("]q\0ca\nB\nh\0\x85Rq\x01"
          "ah\x01}b."),  // An object in its own arguments, with an effect.
      Raw("]q\0(ca\nB\nh\0oq\x01"
          "a0h\x01."),
      Raw("ca\nB\n)Rq\0(h\0h\0e(h\0Nu."),
      Raw("X\x01\0\0\0aq\0h\0h\0\x87."),
  };
  for (const std::string& pickle : kPickles) {
    for (const int protocol : {2, 4}) EXPECT_EQ(Show(Copy(pickle, protocol)), Show(pickle)) << pickle;
  }
}

TEST(WriteSubtree, AnObjectThatIsMetInItsArgumentsHasItsEffectsOnce) {
  // The second making of it is thrown away; what is left has one state.
  const std::string copy = Copy(Raw("]q\0ca\nB\nh\0\x85Rq\x01"
                                    "ah\x01}b."),
                                2);
  EXPECT_EQ(std::count(copy.begin(), copy.end(), 'b'), 1) << copy;
}

TEST(WriteSubtree, LongTextsThatAreSharedAreWrittenOnce) {
  std::string pickle = Raw("(X\x10\x27\0\0") + std::string(10'000, 'a') + Raw("q\0h\0h\0C\xfa") +
                       std::string(250, 'b') + Raw("q\x01h\x01h\x01t.");
  for (const int protocol : {2, 4}) {
    const std::string copy = Copy(pickle, protocol);
    EXPECT_LT(copy.size(), 10'500);
    EXPECT_GT(Show(copy).size(), 20'000);
  }
}

TEST(WriteSubtree, StringsOfPython2StayWhatTheyAre) {
  const std::string copy = Copy(Raw("(U\x01zU\x01\xfft."), 4);
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree, ReadPickle(copy, "copy"));
  for (const PickleNodeId item : tree.items(tree.root())) EXPECT_TRUE(tree.is_python2_str(item));
}

TEST(WriteSubtree, EverySampleComesBack) {
  for (const auto& [name, bytes] : testing::PickleSamples()) {
    if (name == "nested" || name == "billion_laughs") continue;  // Not for a printer that recurses.
    CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree, ReadPickle(bytes, name));
    const bool has_ids = PicklePersistentIds(tree).IsReachedFrom(tree.root());
    for (const int protocol : {2, 4}) {
      const absl::StatusOr<std::string> copy = SubtreeAsPickle(tree, tree.root(), kPlenty, protocol);
      ASSERT_EQ(copy.ok(), !has_ids) << name << copy.status();
      if (copy.ok() && protocol == 4 && name != "protocol_5") {  // Which has an opcode that is not in 4.
        EXPECT_EQ(Show(*copy), Show(bytes)) << name;
      }
    }
  }
}

TEST(WriteSubtree, NestingTakesNoStackAndSharingNoTime) {
  std::string deep = ")";
  for (int i = 0; i < 300'000; ++i) deep += "\x85";
  EXPECT_EQ(Copy(deep + ".", 4).size(), deep.size() + 3);
  std::string laughs = "]";
  for (int i = 0; i < 100; ++i) laughs += "222222222\x86\x86\x86\x86\x86\x86\x86\x86\x86";
  EXPECT_LT(Copy(laughs + ".", 2).size(), 20'000);
}

TEST(WriteSubtree, WhatLiesOutsideIsRefusedByName) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree,
                             ReadPickle(Raw("cargparse\nNamespace\n)R}X\x01\0\0\0wK\x07Qsb."), "x.pt"));
  EXPECT_THAT(SubtreeAsPickle(tree, tree.root(), kPlenty),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("x.pt: object of argparse.Namespace at offset 21"),
                             HasSubstr("persistent id at offset 31"))));
}

TEST(WriteSubtree, WorkIsBounded) {
  std::string pickle = "(";
  for (int i = 0; i < 1000; ++i) pickle += "]";
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree, ReadPickle(pickle + "t.", "x.pt"));
  EXPECT_THAT(SubtreeAsPickle(tree, tree.root(), 500),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("leads to more than 500 objects")));
  EXPECT_THAT(SubtreeAsPickle(tree, tree.root(), 1002),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("more than 1002 bytes")));
  EXPECT_THAT(SubtreeAsPickle(tree, tree.root(), 1100), IsOk());
}

TEST(WriteSubtree, GoesOnInAPickleThatHasBegun) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree, ReadPickle("]p0\ng0\na.", "t"));
  std::string pickle;
  PickleWriter writer(&pickle, 2);
  writer.BeginDict();
  for (const char* key : {"a", "b"}) {
    writer.Str(key);
    CAIRN_ASSERT_OK(WriteSubtree(tree, tree.root(), writer));
  }
  writer.End();
  CAIRN_ASSERT_OK(writer.Finish());
  EXPECT_EQ(Show(pickle), "{0:s\"61\"=[1:@1],s\"62\"=[2:@2]}");
}

}  // namespace
}  // namespace cairn
