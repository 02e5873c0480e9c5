#include "common/pickle/pickle_writer.h"

#include <functional>
#include <limits>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/io/memory_io.h"
#include "common/pickle/pickle_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/pickle_canonical.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::CanonicalPickle;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

std::string Write(int protocol, const std::function<void(PickleWriter&)>& body) {
  std::string pickle;
  PickleWriter writer(&pickle, protocol);
  body(writer);
  const absl::Status status = writer.Finish();
  return status.ok() ? pickle : status.ToString();
}

std::string Show(const std::string& pickle) {
  const absl::StatusOr<PickleTree> tree = ReadPickle(pickle, "written");
  return tree.ok() ? CanonicalPickle(*tree, tree->root()) : tree.status().ToString();
}

std::string WriteAndShow(int protocol, const std::function<void(PickleWriter&)>& body) {
  return Show(Write(protocol, body));
}

TEST(PickleWriter, TorchSizeIsTheBytesOfTorch) {
  const std::string pickle = Write(2, [](PickleWriter& writer) {
    writer.BeginReduce();
    writer.Global("torch", "Size");
    writer.BeginTuple(1);
    writer.IntTuple({2, 3});
    writer.End();
    writer.End();
  });
  EXPECT_EQ(pickle, std::string("\x80\x02"
                                "ctorch\nSize\nq\0K\x02K\x03\x86\x85R.",
                                24));
}

TEST(PickleWriter, IntsTakeTheFewestBytes) {
  const std::pair<int64_t, const char*> kCases[] = {
      {0, "4b00"},
      {255, "4bff"},
      {256, "4d0001"},
      {65535, "4dffff"},
      {65536, "4a00000100"},
      {-1, "4affffffff"},
      {INT32_MIN, "4a00000080"},
      {int64_t{INT32_MAX} + 1, "8a050000008000"},
      {INT64_MIN, "8a080000000000000080"},
      {INT64_MAX, "8a08ffffffffffffff7f"},
      {-int64_t{0x80000001}, "8a05ffffff7fff"},
  };
  for (const auto& [number, hex] : kCases) {
    const std::string pickle = Write(2, [n = number](PickleWriter& writer) { writer.Int(n); });
    EXPECT_EQ(absl::BytesToHexString(pickle), absl::StrCat("8002", hex, "2e"));
    EXPECT_EQ(Show(pickle), absl::StrCat(number));
  }
}

TEST(PickleWriter, WhatItWritesIsReadInBothProtocols) {
  const std::pair<std::function<void(PickleWriter&)>, const char*> kCases[] = {
      {[](PickleWriter& w) { w.None(); }, "None"},
      {[](PickleWriter& w) { w.Bool(false); }, "False"},
      {[](PickleWriter& w) { w.Float(-0.5); }, "fbfe0000000000000"},
      {[](PickleWriter& w) { w.BigInt("-99999999999999999999"); }, "-99999999999999999999"},
      {[](PickleWriter& w) { w.BigInt("7"); }, "7"},
      {[](PickleWriter& w) { w.Str("gr\xc3\xbcn"); }, "s\"6772c3bc6e\""},
      {[](PickleWriter& w) { w.Str("\xed\xa0\x80"); }, "s\"eda080\""},
      {[](PickleWriter& w) { w.Python2Str("\xff"); }, "b\"ff\""},
      {[](PickleWriter& w) { w.BeginTuple(), w.End(); }, "()"},
      {[](PickleWriter& w) { w.BeginTuple(), w.None(), w.End(); }, "(0:None)"},
      {[](PickleWriter& w) {
         w.IntTuple({1, 2, 3, 4});
       },
       "(0:1,2,3,4)"},
      {[](PickleWriter& w) { w.BeginList(), w.End(); }, "[0:]"},
      {[](PickleWriter& w) { w.BeginDict(), w.Int(1), w.None(), w.End(); }, "{0:1=None}"},
      {[](PickleWriter& w) { w.Global("a", "B"); }, "G a.B"},
      {[](PickleWriter& w) { w.BeginPersistentId(), w.Int(3), w.End(); }, "P(3)"},
      {[](PickleWriter& w) { w.EmptyOrderedDict(); }, "R0(G collections.OrderedDict,())"},
      {[](PickleWriter& w) { w.BeginNewObj(), w.Global("a", "B"), w.IntTuple({}), w.Build(), w.Int(1), w.End(); },
       "N0(G a.B,() !1)"},
      {[](PickleWriter& w) { w.BeginInstance(), w.Global("a", "B"), w.Int(1), w.End(); }, "I0(G a.B,(1:1))"},
      {[](PickleWriter& w) {
         w.BeginReduce(), w.Global("a", "B"), w.IntTuple({});
         w.SetItems(), w.Int(1), w.Int(2), w.AppendItems(), w.Int(3), w.AddItems(), w.Int(4);
         w.Build(), w.None(), w.Build(), w.Int(5), w.SetItems(), w.End();
       },
       "R0(G a.B,() ={1=2} +[3] |{4} !None !5)"},
  };
  for (const auto& [body, expected] : kCases) {
    EXPECT_EQ(WriteAndShow(2, body), expected);
    EXPECT_EQ(WriteAndShow(4, body), expected);
  }
}

TEST(PickleWriter, EachProtocolHasItsWayForSetsBytesAndKeywords) {
  const auto set = [](PickleWriter& w) { w.BeginSet(), w.Int(1), w.End(); };
  EXPECT_EQ(WriteAndShow(4, set), "S{1}");
  EXPECT_EQ(WriteAndShow(2, set), "R0(G builtins.set,(1:[2:1]))");
  const auto frozen = [](PickleWriter& w) { w.BeginFrozenSet(), w.End(); };
  EXPECT_EQ(WriteAndShow(4, frozen), "F{}");
  EXPECT_EQ(WriteAndShow(2, frozen), "R0(G builtins.frozenset,(1:[2:]))");
  const auto bytes = [](PickleWriter& w) { w.Bytes("\xff"); };
  EXPECT_EQ(WriteAndShow(4, bytes), "b\"ff\"");
  EXPECT_EQ(WriteAndShow(2, bytes), "R0(G _codecs.encode,(1:s\"c3bf\",s\"6c6174696e31\"))");
  const auto keywords = [](PickleWriter& w) {
    w.BeginNewObjEx(), w.Global("a", "B"), w.IntTuple({}), w.BeginDict(), w.End(), w.End();
  };
  EXPECT_EQ(WriteAndShow(4, keywords), "N0(G a.B,(),{1:})");
  EXPECT_EQ(WriteAndShow(2, keywords), "R0(G copyreg.__newobj_ex__,(1:G a.B,(),{2:}))");
  const auto inner = [](PickleWriter& w) { w.Global("a", "B.C"); };
  EXPECT_EQ(WriteAndShow(4, inner), "G a.B.C");
  EXPECT_EQ(WriteAndShow(2, inner), "R0(G builtins.getattr,(1:G a.B,s\"43\"))");
}

TEST(PickleWriter, StringsAndGlobalsAreWrittenOnce) {
  for (const int protocol : {2, 4}) {
    const std::string pickle = Write(protocol, [](PickleWriter& writer) {
      writer.BeginList();
      for (int i = 0; i < 10; ++i) {
        writer.Str("exp_avg");
        writer.Global("torch", "FloatStorage");
      }
      writer.End();
    });
    EXPECT_EQ(pickle.find("exp_avg"), pickle.rfind("exp_avg"));
    EXPECT_EQ(pickle.find("FloatStorage"), pickle.rfind("FloatStorage"));
  }
}

TEST(PickleWriter, ItemsComeInBatchesOfAThousand) {
  const std::string list = Write(2, [](PickleWriter& writer) {
    writer.BeginList();
    for (int i = 0; i < 2500; ++i) writer.None();
    writer.End();
  });
  const std::string thousand = absl::StrCat("(", std::string(1000, 'N'), "e");
  EXPECT_EQ(list, absl::StrCat("\x80\x02]", thousand, thousand, "(", std::string(500, 'N'), "e."));
  const std::string dict = Write(2, [](PickleWriter& writer) {
    writer.BeginDict();
    for (int i = 0; i < 2000; ++i) writer.None(), writer.None();
    writer.End();
  });
  const std::string pairs = absl::StrCat("(", std::string(2000, 'N'), "u");
  EXPECT_EQ(dict, absl::StrCat("\x80\x02}", pairs, pairs, "."));
}

TEST(PickleWriter, AListCanHoldItselfAndAValueCanBeThereTwice) {
  for (const int protocol : {2, 4}) {
    EXPECT_EQ(WriteAndShow(protocol,
                           [](PickleWriter& w) {
                             w.BeginList();
                             const PickleWriter::Memo self = w.Memoize();
                             w.Get(self);
                             w.IntTuple({1});
                             const PickleWriter::Memo tuple = w.Memoize();
                             EXPECT_EQ(w.Memoize(), tuple);
                             w.Get(tuple);
                             w.None();
                             w.ReplaceWith(tuple);
                             w.End();
                           }),
              "[0:@0,(1:1),@1,@1]");
    EXPECT_EQ(WriteAndShow(protocol,
                           [](PickleWriter& w) {
                             w.BeginReduce(), w.Global("a", "B"), w.IntTuple({});
                             const PickleWriter::Memo self = w.Memoize();
                             w.Build(), w.Get(self), w.End();
                           }),
              "R0(G a.B,() !@0)");
  }
}

TEST(PickleWriter, BigPicklesGoToTheSinkInPieces) {
  std::string out;
  MemorySink sink(&out);
  PickleWriter writer(&sink, 2);
  writer.BeginList();
  for (int i = 0; i < 100'000; ++i) writer.Str(absl::StrCat("parameter.", i));
  EXPECT_GT(sink.size(), 1'000'000);
  writer.End();
  CAIRN_ASSERT_OK(writer.Finish());
  EXPECT_EQ(sink.size(), writer.size());
  CAIRN_ASSERT_OK(sink.Close());
  CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree tree, ReadPickle(out, "out"));
  EXPECT_EQ(tree.items(tree.root()).size(), 100'000);
}

TEST(PickleWriter, WrongCallsAreErrorsAtTheEnd) {
  const std::pair<std::function<void(PickleWriter&)>, const char*> kCases[] = {
      {[](PickleWriter&) {}, "before one whole value"},
      {[](PickleWriter& w) { w.BeginList(); }, "before one whole value"},
      {[](PickleWriter& w) { w.None(), w.None(); }, "a second value"},
      {[](PickleWriter& w) { w.End(); }, "End() without a Begin"},
      {[](PickleWriter& w) { w.BeginDict(), w.None(), w.End(); }, "a key without a value"},
      {[](PickleWriter& w) { w.BeginTuple(2), w.None(), w.End(); }, "fewer items"},
      {[](PickleWriter& w) { w.BeginTuple(1), w.None(), w.None(); }, "more items"},
      {[](PickleWriter& w) { w.BeginReduce(), w.Global("a", "b"), w.End(); }, "before its parts"},
      {[](PickleWriter& w) { w.EmptyOrderedDict(), w.SetItems(); }, "what is no object"},
      {[](PickleWriter& w) { w.BeginReduce(), w.Global("a", "b"), w.IntTuple({}), w.None(); },
       "whose arguments are there"},
      {[](PickleWriter& w) { w.BeginTuple(), w.Memoize(); }, "Memoize()"},
      {[](PickleWriter& w) { w.Get(0); }, "memo 0, which is not there"},
      {[](PickleWriter& w) { w.BeginInstance(), w.End(); }, "without a class"},
  };
  for (const auto& [body, message] : kCases) {
    std::string out;
    PickleWriter writer(&out, 2);
    body(writer);
    EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(message)));
  }
  std::string out;
  PickleWriter writer(&out, 3);
  writer.None();
  EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("protocol 3")));
}

TEST(PickleWriter, DataThatNoPickleHoldsIsRefused) {
  const std::pair<std::function<void(PickleWriter&)>, const char*> kCases[] = {
      {[](PickleWriter& w) { w.Str("\xff"); }, "no UTF-8"},
      {[](PickleWriter& w) { w.BigInt("one"); }, "no decimal number"},
      {[](PickleWriter& w) { w.BigInt(std::string(200'000, '1')); }, "200000 digits"},
      {[](PickleWriter& w) { w.Global("a\nb", "c"); }, "line break"},
      {[](PickleWriter& w) { w.Global("a", std::string(1'000'000, '.')); }, "more than 16 names"},
  };
  for (const auto& [body, message] : kCases) {
    std::string out;
    PickleWriter writer(&out, 2);
    body(writer);
    EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }
  std::string out;
  PickleWriter writer(&out, 2);
  writer.set_max_bytes(100);
  writer.Str(std::string(100, 'a'));
  EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("more than 100 bytes")));
}

}  // namespace
}  // namespace cairn
