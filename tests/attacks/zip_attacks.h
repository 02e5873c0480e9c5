#pragma once

#include <string>
#include <vector>

namespace cairn::testing {

// An archive that no reader may take for a good one, and what the refusal must say.
struct ZipAttack {
  std::string name;
  std::string bytes;
  std::string message;
};

// Refused by ZipReader::Open.
std::vector<ZipAttack> ZipDirectoryAttacks();
// Opened, since only the bytes of the entry "a" are bad; its content is refused.
std::vector<ZipAttack> ZipEntryAttacks();

}  // namespace cairn::testing
