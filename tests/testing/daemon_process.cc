#include "tests/testing/daemon_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

namespace cairn::testing {

DaemonProcess::DaemonProcess(std::string folder, std::vector<std::string> flags)
    : folder_(std::move(folder)), flags_(std::move(flags)) {}

DaemonProcess::~DaemonProcess() { Kill(); }

void DaemonProcess::Start(const std::map<std::string, std::string>& environment) {
  // Everything that allocates comes before the fork: another thread may hold the allocator's lock.
  std::vector<std::string> args = {CAIRN_CAIRND,    "--data-dir",         folder_ + "/data", "--listen", "",
                                   "--unix-socket", folder_ + "/cairnd.sock"};
  args.insert(args.end(), flags_.begin(), flags_.end());
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  std::vector<char*> envp;
  for (std::string& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  const int log = ::open((folder_ + "/cairnd.log").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(log, 2);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  ::close(log);
}

void DaemonProcess::Kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  Wait();
}

int DaemonProcess::Stop() {
  if (pid_ <= 0) return -1;
  ::kill(pid_, SIGTERM);
  const int status = Wait();
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int DaemonProcess::Wait() {
  int status = 0;
  if (pid_ > 0) ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

bool DaemonProcess::Running() {
  if (pid_ <= 0) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return true;
  pid_ = -1;
  return false;
}

std::string DaemonProcess::Log() const {
  std::ifstream file(folder_ + "/cairnd.log");
  return {std::istreambuf_iterator<char>(file), {}};
}

client::Client DaemonProcess::Connect() const {
  client::Options options;
  options.retry_for = absl::Seconds(20);
  options.initial_backoff = absl::Milliseconds(20);
  options.max_backoff = absl::Milliseconds(200);
  return *client::Client::Connect(target(), options);
}

}  // namespace cairn::testing
