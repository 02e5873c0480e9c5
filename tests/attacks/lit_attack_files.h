#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/pickle/pickle_writer.h"

namespace cairn::testing {

// What a pickle says at one place.
using Said = std::function<void(PickleWriter&)>;
using SaidPairs = std::vector<std::pair<std::string, Said>>;

Said SaidNone();
Said SaidInt(int64_t value);
Said SaidText(const std::string& text);
Said SaidList(const std::vector<Said>& items);
Said SaidDict(const SaidPairs& pairs);
// One pair, whose key is no text.
Said SaidDictOf(const Said& key, const Said& value);
// A dict that is its own item.
Said SaidDictInItself();
// float32 of one dimension. Two of the same storage are one tensor.
Said SaidTensor(const std::string& storage = "0", int64_t elements = 4);
// An object of some class, with that state.
Said SaidObject(const std::string& module, const std::string& name, const SaidPairs& state);
// What would run if anybody ran it.
Said SaidCall(const std::string& module, const std::string& function, const std::string& argument);

// A file of torch.save with storages "0" and "1" of 16 bytes each.
std::string SavedByTorch(const Said& root);
// The same with the records of a program.
std::string SavedAsTorchScript(const Said& root);

// A file or folder of Lightning or litgpt, and what refuses it. What is one file has the name "".
struct LitAttack {
  std::string name;
  std::map<std::string, std::string> files;
  std::string message;  // In the refusal. Empty: it is good, and only what reads it must be careful.

  bool is_file() const { return files.size() == 1 && files.begin()->first.empty(); }
};

}  // namespace cairn::testing
