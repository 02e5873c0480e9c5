#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "cairn/client.h"

namespace cairn::testing {

// A real cairnd in a process of its own, on a Unix socket, that can be killed and started again.
class DaemonProcess {
 public:
  // `folder` holds the socket, the data directory and the log.
  explicit DaemonProcess(std::string folder, std::vector<std::string> flags = {});
  ~DaemonProcess();  // Kills it.
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  void Start(const std::map<std::string, std::string>& environment = {});
  // kill -9, and waits until it is gone.
  void Kill();
  // SIGTERM; its exit status.
  int Stop();
  // Waits until it is gone by itself (a fail point). The status of waitpid.
  int Wait();
  // Whether it still runs.
  bool Running();

  pid_t pid() const { return pid_; }
  std::string target() const { return "unix:" + folder_ + "/cairnd.sock"; }
  std::string data_dir() const { return folder_ + "/data"; }
  std::string Log() const;

  // Retries for some seconds, so that a daemon that is being restarted is no error.
  client::Client Connect() const;

 private:
  const std::string folder_;
  const std::vector<std::string> flags_;
  pid_t pid_ = -1;
};

}  // namespace cairn::testing
