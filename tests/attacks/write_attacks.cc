#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "nlohmann/json.hpp"
#include "tests/attacks/cairndiff_attacks.h"
#include "tests/attacks/colossalai_attacks.h"
#include "tests/attacks/dcp_attacks.h"
#include "tests/attacks/easylm_attacks.h"
#include "tests/attacks/flax_attacks.h"
#include "tests/attacks/lightning_attacks.h"
#include "tests/attacks/litgpt_attacks.h"
#include "tests/attacks/llama_attacks.h"
#include "tests/attacks/npz_attacks.h"
#include "tests/attacks/pickle_attacks.h"
#include "tests/attacks/safetensors_attacks.h"
#include "tests/attacks/torch_attacks.h"
#include "tests/attacks/zip_attacks.h"

namespace cairn::testing {
namespace {

// Writes the attacks below a folder, and says of each what it is for.
class AttackFolder {
 public:
  explicit AttackFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // `suffix` makes the name one that the format is known by. An empty `message`: there is nothing to refuse.
  void AddFile(const std::string& format, const std::string& name, const std::string& suffix, const std::string& bytes,
               const std::string& message) {
    const std::string path = format + "/" + name + suffix;
    Write(path, bytes);
    List(format, name, path, message);
  }

  template <class Files>
  void AddFolder(const std::string& format, const std::string& name, const Files& files, const std::string& message) {
    const std::string path = format + "/" + name + "/";
    for (const auto& [file, bytes] : files) Write(path + file, bytes);
    List(format, name, path, message);
  }

  void AddLit(const std::string& format, const std::vector<LitAttack>& attacks, const std::string& suffix) {
    for (const LitAttack& attack : attacks) {
      if (attack.is_file()) {
        AddFile(format, attack.name, suffix, attack.files.begin()->second, attack.message);
      } else {
        AddFolder(format, attack.name, attack.files, attack.message);
      }
    }
  }

  void Write(const std::string& path, const std::string& bytes) {
    const std::filesystem::path where = folder_ / path;
    std::filesystem::create_directories(where.parent_path());
    if (path.ends_with('/')) return;
    std::ofstream file(where, std::ios::binary);
    file << bytes;
    failed_ |= !file.flush();
  }

  bool Finish() {
    Write("attacks.json", list_.dump(1, ' ', true, nlohmann::json::error_handler_t::replace));
    return !failed_;
  }

 private:
  void List(const std::string& format, const std::string& name, const std::string& path, const std::string& message) {
    list_.push_back({{"format", format}, {"name", name}, {"path", path}, {"message", message}});
  }

  const std::filesystem::path folder_;
  nlohmann::json list_ = nlohmann::json::array();
  bool failed_ = false;
};

void AddAll(AttackFolder& folder) {
  for (const auto& attack : SafetensorsAttacks()) folder.AddFile("safetensors", attack.name, ".safetensors", attack.bytes, attack.message);
  for (const auto& attack : EasyLmAttacks()) folder.AddFile("easylm", attack.name, "", attack.bytes, attack.message);
  for (const auto& attack : FlaxAttacks()) folder.AddFile("flax", attack.name, ".msgpack", attack.bytes, attack.message);
  for (const auto& attack : NpzAttacks()) folder.AddFile("npz", attack.name, ".npz", attack.bytes, attack.message);
  for (const auto& attack : ZipDirectoryAttacks()) folder.AddFile("npz", "zip_" + attack.name, ".npz", attack.bytes, attack.message);
  for (const auto& attack : TorchAttacks()) folder.AddFile("torch", attack.name, ".pt", attack.bytes, attack.message);
  for (const auto& attack : PickleAttacks()) {
    folder.AddFile("torch", "pickle_" + attack.name, ".pt", TorchZip(attack.bytes, ""), attack.message);
  }
  folder.AddLit("litgpt", LitGptAttacks(), ".pth");
  folder.AddLit("lightning", LightningAttacks(), ".ckpt");
  folder.AddLit("lightning_weights", LightningWeightsAttacks(), ".ckpt");
  for (const auto& attack : LlamaAttacks()) folder.AddFolder("llama", attack.name, attack.files, attack.message);
  for (const auto& attack : DcpAttacks()) {
    // Nothing to say of a refusal is not the same as nothing to refuse.
    folder.AddFolder("dcp", attack.name, attack.files, attack.harmless ? "" : attack.message.empty() ? "INVALID_ARGUMENT" : attack.message);
  }
  for (const auto& attack : ColossalAiFileAttacks()) {
    folder.AddFile("colossalai", "file_" + attack.name, ".safetensors", attack.bytes, attack.message);
  }
  for (const auto& attack : ColossalAiFolderAttacks()) folder.AddFolder("colossalai", attack.name, attack.files, attack.message);
  for (const auto& attack : CairnDiffAttacks()) folder.AddFile("cairndiff", attack.name, ".cairndiff", attack.bytes, attack.message);
  const std::string base = CairnDiffAttackBase();
  folder.Write("base.safetensors",
               SafetensorsFile(R"({"w":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}})", base));
}

}  // namespace
}  // namespace cairn::testing

// `write_attacks DIR`: every hostile file and folder that we know, by format, for tests/python/test_attacks.py. attacks.json
// lists them.
int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " DIR\n";
    return 2;
  }
  cairn::testing::AttackFolder folder(argv[1]);
  cairn::testing::AddAll(folder);
  return folder.Finish() ? 0 : 1;
}
