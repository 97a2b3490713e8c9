#include "handles.h"

#include <unistd.h>

#include <mutex>
#include <new>
#include <vector>

namespace tfclient {
namespace {

// A thread may live for one call only, as in TFaaS's own example. So handles belong to the
// process, not to threads: the last one given back is the next one taken.
class Idle {
 public:
  CURL* take() {
    const std::lock_guard<std::mutex> held(mutex_);
    if (owner_ != getpid()) {
      // A child of fork has its parent's connections, which are not its to use. To close them
      // would tell the parent's servers that the parent goes: they are left as they are.
      handles_.clear();
      owner_ = getpid();
    }
    if (handles_.empty()) return nullptr;
    CURL* last = handles_.back();
    handles_.pop_back();
    return last;
  }

  bool keep(CURL* handle) noexcept {
    const std::lock_guard<std::mutex> held(mutex_);
    if (owner_ != getpid() || handles_.size() == most) return false;
    handles_.push_back(handle);  // has room: see the constructor
    return true;
  }

  Idle() { handles_.reserve(most); }

 private:
  static constexpr std::size_t most = 64;

  std::mutex mutex_;
  std::vector<CURL*> handles_;
  pid_t owner_ = getpid();
};

// Never destroyed: a thread may still be calling while the program ends.
Idle& idle() {
  static Idle& only = *[] {
    curl_global_init(CURL_GLOBAL_ALL);
    return new Idle;
  }();
  return only;
}

}  // namespace

void GiveBack::operator()(CURL* handle) const noexcept {
  curl_easy_reset(handle);  // forgets the call's settings and memory, keeps the connections
  if (!idle().keep(handle)) curl_easy_cleanup(handle);
}

Handle take_handle() {
  CURL* handle = idle().take();
  if (handle == nullptr) handle = curl_easy_init();
  if (handle == nullptr) throw std::bad_alloc();
  return Handle(handle);
}

}  // namespace tfclient
