#pragma once

#include <memory>
#include <string>

#include "cairn/client.h"
#include "client/python/native/fork_guard.h"
#include "nanobind/nanobind.h"

namespace cairn::python {

// The class Client of _native.pyi.
class Daemon {
 public:
  // Raises for a target or options that cannot work, and in a process that was forked from one with a client.
  Daemon(std::string target, const client::Options& options);
  ~Daemon();

  const std::string& target() const { return target_; }
  // Raises in a forked child.
  std::shared_ptr<client::Client> client() const;

 private:
  const std::string target_;
  ForkSafe<client::Client> client_;
};

void BindClient(nanobind::module_& module);

}  // namespace cairn::python
