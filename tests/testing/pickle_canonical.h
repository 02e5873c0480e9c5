#pragma once

#include <string>

#include "common/pickle/pickle_tree.h"

namespace cairn::testing {

// The tree from that node on as one line of text that says all of it, with the same text for what Python cannot tell
// apart. test_pickle.py makes the same lines of what CPython's unpickler calls.
//
//   None True False 12 f3ff0000000000000 s"hex of UTF-8" b"hex" a"hex"(bytearray)
//   [0: items]  (1: items)  {2: key=value,...}  S{items, sorted}  F{items, sorted}  G module.name  P(payload)
//   R3(callable,args effects)  N4(class,args[,kwargs] effects)  I5(class,args effects)
//   effects: +[items] ={key=value,...} |{items} !state
//   @2: the container or object with that number again. Numbers are in the order of first sight; not for () and in
//   sets.
//
// Iterative enough for cycles and sharing, but not for deep nesting.
std::string CanonicalPickle(const PickleTree& tree, PickleNodeId node);

}  // namespace cairn::testing
