#include "common/pickle/python2_names.h"

#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(Python2Names, ModulesAndNamesThatMovedAreFound) {
  EXPECT_EQ(FromPython2Name({"__builtin__", "set"}), PickledName("builtins", "set"));
  EXPECT_EQ(FromPython2Name({"__builtin__", "xrange"}), PickledName("builtins", "range"));
  EXPECT_EQ(FromPython2Name({"exceptions", "ValueError"}), PickledName("builtins", "ValueError"));
  EXPECT_EQ(FromPython2Name({"copy_reg", "_reconstructor"}), PickledName("copyreg", "_reconstructor"));
  EXPECT_EQ(FromPython2Name({"torch", "Size"}), PickledName("torch", "Size"));
}

TEST(Python2Names, WhatIsWrittenIsReadAsTheSame) {
  EXPECT_EQ(ToPython2Name({"builtins", "set"}), PickledName("__builtin__", "set"));
  for (const PickledName& name :
       {PickledName("builtins", "set"), PickledName("copyreg", "_reconstructor"), PickledName("dbm", "open"),
        PickledName("dbm", "whichdb"), PickledName("torch", "Size"), PickledName("builtins", "long")}) {
    EXPECT_EQ(FromPython2Name(ToPython2Name(name)), name);
  }
}

}  // namespace
}  // namespace cairn
