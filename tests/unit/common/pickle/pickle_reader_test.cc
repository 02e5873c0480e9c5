#include "common/pickle/pickle_reader.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/io/memory_io.h"
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

template <size_t kSize>
std::string Raw(const char (&bytes)[kSize]) {
  return std::string(bytes, kSize - 1);
}

std::string Show(const std::string& pickle) {
  const absl::StatusOr<PickleTree> tree = ReadPickle(pickle, "test");
  return tree.ok() ? CanonicalPickle(*tree, tree->root()) : tree.status().ToString();
}

// A source whose reads fail from `bad` on.
class TornSource final : public ByteSource {
 public:
  TornSource(std::string bytes, uint64_t bad) : bytes_(std::move(bytes)), bad_(bad) {}
  uint64_t size() const override { return bytes_.size(); }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    if (offset + dst.size() > bad_) return absl::DataLossError("torn: shorter than it was");
    bytes_.copy(dst.data(), dst.size(), offset);
    return absl::OkStatus();
  }

 private:
  const std::string bytes_, name_ = "torn";
  const uint64_t bad_;
};

TEST(PickleReader, EachOpcodeMeansWhatCPythonMakesOfIt) {
  const std::pair<std::string, const char*> kCases[] = {
      {"N.", "None"},
      {Raw("\x80\x02\x88."), "True"},
      {Raw("\x89."), "False"},
      {"I01\n.", "True"},
      {"I00\n.", "False"},
      {"I1\n.", "1"},
      {"I-42\n.", "-42"},
      {"I99999999999999999999\n.", "99999999999999999999"},
      {"L5L\n.", "5"},
      {Raw("K\xff."), "255"},
      {Raw("M\x01\x02."), "513"},
      {Raw("J\xff\xff\xff\xff."), "-1"},
      {Raw("\x8a\x00."), "0"},
      {Raw("\x8a\x01\x80."), "-128"},
      {Raw("\x8a\x02\x80\0."), "128"},
      {Raw("\x8a\x0a\x01\0\0\0\0\0\0\0\0\0."), "1"},
      {Raw("\x8a\x09\0\0\0\0\0\0\0\0\x01."), "18446744073709551616"},
      {Raw("\x8b\x01\0\0\0\xfe."), "-2"},
      {"F-0.5\n.", "fbfe0000000000000"},
      {Raw("G\x3f\xf8\0\0\0\0\0\0."), "f3ff8000000000000"},
      {"S'ab'\n.", "s\"6162\""},
      {"S'\\xff'\n.", "b\"ff\""},
      {Raw("U\x01z."), "s\"7a\""},
      {Raw("T\x01\0\0\0\xfe."), "b\"fe\""},
      {"V\\u20ac\n.", "s\"e282ac\""},
      {Raw("X\x01\0\0\0z."), "s\"7a\""},
      {Raw("\x8c\x01z."), "s\"7a\""},
      {Raw("\x8d\x01\0\0\0\0\0\0\0z."), "s\"7a\""},
      {Raw("X\x03\0\0\0\xed\xa0\x80."), "s\"eda080\""},
      {Raw("B\x01\0\0\0z."), "b\"7a\""},
      {Raw("C\x01z."), "b\"7a\""},
      {Raw("\x8e\x01\0\0\0\0\0\0\0z."), "b\"7a\""},
      {Raw("\x96\x01\0\0\0\0\0\0\0z."), "a\"7a\""},
      {").", "()"},
      {"(t.", "()"},
      {Raw("N\x85."), "(0:None)"},
      {Raw("N\x88\x86."), "(0:None,True)"},
      {Raw("N\x88\x89\x87."), "(0:None,True,False)"},
      {"(NNNNt.", "(0:None,None,None,None)"},
      {"].", "[0:]"},
      {"(NNl.", "[0:None,None]"},
      {"]Na(NNe.", "[0:None,None,None]"},
      {"}.", "{0:}"},
      {"(NNd.", "{0:None=None}"},
      {Raw("}NK\x01s(K\x02K\x03u."), "{0:None=1,2=3}"},
      {Raw("\x8f(K\x01K\x02\x90."), "S{1,2}"},
      {Raw("(K\x02K\x01\x91."), "F{1,2}"},
      {"c__builtin__\nset\n.", "G builtins.set"},
      {Raw("\x80\x04"
           "c__builtin__\nset\n."),
       "G __builtin__.set"},
      {Raw("\x80\x04\x8c\x01"
           "a\x8c\x03"
           "B.C\x93."),
       "G a.B.C"},
      {"cos\nsystem\n(S'ls'\ntR.", "R0(G os.system,(1:s\"6c73\"))"},
      {Raw("ca\nB\n)\x81."), "N0(G a.B,())"},
      {Raw("ca\nB\n)}\x8c\x01kNs\x92."), "N0(G a.B,(),{1:s\"6b\"=None})"},
      {"(ia\nB\n.", "I0(G a.B,())"},
      {Raw("(K\x01ia\nB\n."), "I0(G a.B,(1:1))"},
      {Raw("(ca\nB\nK\x01o."), "I0(G a.B,(1:1))"},
      {Raw("ca\nB\n)R}bNaNNs(NNu(K\x01\x90."), "R0(G a.B,() !{1:} +[None] ={None=None,None=None} |{1})"},
      {"P17\n.", "P(s\"3137\")"},
      {Raw("K\x07Q."), "P(7)"},
      {"NN0.", "None"},
      {"N(0.", "None"},
      {"N(NN1.", "None"},
      {"](N2e.", "[0:None,None]"},
      {"]p5\ng5\n\x85.", "(0:[1:])"},
      {Raw("]q\x05h\x05\x86."), "(0:[1:],@1)"},
      {Raw("]r\0\x01\0\0j\0\x01\0\0\x86."), "(0:[1:],@1)"},
      {Raw("]\x94N\x94h\0h\x01\x86."), "(0:[1:],None)"},
      {Raw("]r\xff\xff\0\0\x94h\x01\x86."), "(0:[1:],@1)"},  // MEMOIZE counts entries, whatever their numbers.
      {Raw("\x80\x04\x95\x02\0\0\0\0\0\0\0N."), "None"},
      {Raw("]q\0h\0a."), "[0:@0]"},
  };
  for (const auto& [pickle, expected] : kCases) EXPECT_EQ(Show(pickle), expected) << pickle;
}

TEST(PickleReader, EveryAttackIsRefusedByNameAndOffset) {
  for (const testing::PickleAttack& attack : testing::PickleAttacks()) {
    EXPECT_THAT(ReadPickle(attack.bytes, "evil"), StatusIs(attack.code, HasSubstr(attack.message))) << attack.name;
    EXPECT_THAT(ReadPickle(MemorySource(attack.bytes, "evil"), 0), StatusIs(attack.code, HasSubstr(attack.message)))
        << attack.name;
  }
}

TEST(PickleReader, EverySampleIsReadAndNoTruncationOfItIs) {
  for (const auto& [name, bytes] : testing::PickleSamples()) {
    const absl::StatusOr<PickleTree> tree = ReadPickle(bytes, name);
    ASSERT_THAT(tree, IsOk()) << name;
    for (size_t size = 0; size < tree->end_offset(); ++size) {
      EXPECT_FALSE(ReadPickle(bytes.substr(0, size), name).ok()) << name << " " << size;
    }
  }
}

TEST(PickleReader, PicklesOneAfterAnotherAreFoundByTheirEnds) {
  const std::string file = absl::StrCat("head", "K\x01.", "(NNl.", "tail");
  const MemorySource source(file, "file");
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree first, ReadPickle(source, 4));
  EXPECT_EQ(first.begin_offset(), 4);
  EXPECT_EQ(first.end_offset(), 7);
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree second, ReadPickle(source, first.end_offset()));
  EXPECT_EQ(second.end_offset(), 12);
  EXPECT_EQ(second.offset(second.root()), 10) << "the opcode LIST";
  EXPECT_EQ(second.source_name(), "file");
  EXPECT_THAT(ReadPickle(source, file.size()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without STOP")));
  EXPECT_THAT(ReadPickle(source, file.size() + 1),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("found the end")));
}

TEST(PickleReader, TextsAreTheSameOnBothSidesOfAWindow) {
  for (const size_t before : {262'000, 262'140, 262'141, 262'143, 262'144, 262'145}) {
    for (const size_t size : {0, 1, 10, 5000, 300'000}) {
      std::string text(size, '\0');
      for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 26);
      std::string pickle = "(";
      pickle.append(before, 'N');
      pickle += "X";
      for (int shift = 0; shift < 32; shift += 8) pickle.push_back(static_cast<char>(size >> shift));
      pickle += text + "V" + text + "\nt.";
      CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree, ReadPickle(MemorySource(pickle), 0));
      const auto items = tree.items(tree.root());
      ASSERT_EQ(items.size(), before + 2);
      EXPECT_EQ(tree.text(items[before]), text);
      EXPECT_EQ(tree.text(items[before + 1]), text);
    }
  }
}

TEST(PickleReader, ErrorsOfTheSourceComeThrough) {
  std::string pickle(600'000, 'N');
  pickle += ".";
  EXPECT_THAT(ReadPickle(TornSource(pickle, 300'000), 0), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("torn")));
  const std::string text = Raw("X\0\0\x08\0") + std::string(0x80000, 'a') + ".";
  EXPECT_THAT(ReadPickle(TornSource(text, 300'000), 0), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("torn")));
}

TEST(PickleReader, NestingTakesNoStack) {
  std::string pickle = ")";
  for (int i = 0; i < 1'000'000; ++i) pickle += "\x85";
  pickle += ".";
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree, ReadPickle(pickle, "deep"));
  EXPECT_EQ(tree.size(), 1'000'004);
  EXPECT_FALSE(PicklePersistentIds(tree).IsReachedFrom(tree.root()));
  std::string marks(1'000'000, '(');
  for (int i = 0; i < 1'000'000; ++i) marks += "l";
  EXPECT_THAT(ReadPickle(marks + ".", "deep"), IsOk());
}

TEST(PickleReader, MemoryIsBoundedWhateverFillsIt) {
  const PickleLimits limits{.max_memory_bytes = 1u << 20, .max_text_bytes = 1u << 16};
  std::string memo = "N";
  for (uint32_t i = 0; i < 100'000; ++i) {
    memo += "r";
    for (int shift = 0; shift < 32; shift += 8) memo.push_back(static_cast<char>(i * 601 >> shift));
  }
  const std::string kBombs[] = {
      std::string(1'000'000, 'N') + ".",   // The stack.
      std::string(1'000'000, '(') + "N.",  // Marks.
      std::string(100'000, ']') + ".",     // Nodes.
      memo + ".",                          // The memo.
      "]" +
          [] {  // The items of one list.
            std::string appends;
            for (int i = 0; i < 300'000; ++i) appends += "Na";
            return appends;
          }() +
          ".",
  };
  for (const std::string& bomb : kBombs) {
    EXPECT_THAT(ReadPickle(bomb, "bomb", limits),
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("takes more than 1048576 bytes of memory")))
        << bomb.substr(0, 10);
    EXPECT_THAT(ReadPickle(bomb, "bomb"), IsOk()) << bomb.substr(0, 10);
  }
  const std::string text = Raw("X\x01\0\x01\0") + std::string(0x10001, 'a') + ".";
  EXPECT_THAT(ReadPickle(text, "text", limits),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("65537 bytes, more than the limit of 65536")));
  EXPECT_THAT(ReadPickle("V" + std::string(70'000, 'a') + "\n.", "text", limits),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 65536 bytes")));
}

TEST(PickleReader, TellsPython2StringsAndSurrogates) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree,
                             ReadPickle(Raw("(U\x01zU\x01\xffX\x01\0\0\0zX\x03\0\0\0\xed\xa0\x80t."), "t"));
  const auto items = tree.items(tree.root());
  EXPECT_TRUE(tree.is_python2_str(items[0]) && tree.kind(items[0]) == PickleKind::kStr);
  EXPECT_TRUE(tree.is_python2_str(items[1]) && tree.kind(items[1]) == PickleKind::kBytes);
  EXPECT_FALSE(tree.is_python2_str(items[2]) || tree.has_surrogates(items[2]));
  EXPECT_TRUE(tree.has_surrogates(items[3]));
}

TEST(PickleTree, PersistentIdsAreFoundFromEverythingThatLeadsToThem) {
  // A list that holds an object whose state holds the list and a persistent id; and things beside it.
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree, ReadPickle(Raw("(]q\0ca\nB\n)\x81h\0K\x01Q\x86"
                                                                   "ba]Nat."),
                                                               "t"));
  EXPECT_EQ(CanonicalPickle(tree, tree.root()), "(0:[1:N2(G a.B,() !(3:@1,P(1)))],[4:None])");
  const PicklePersistentIds ids(tree);
  EXPECT_TRUE(ids.IsReachedFrom(tree.root()));
  EXPECT_TRUE(ids.IsReachedFrom(tree.items(tree.root())[0]));
  EXPECT_TRUE(ids.IsReachedFrom(tree.items(tree.items(tree.root())[0])[0]));
  EXPECT_FALSE(ids.IsReachedFrom(tree.items(tree.root())[1]));
}

}  // namespace
}  // namespace cairn
