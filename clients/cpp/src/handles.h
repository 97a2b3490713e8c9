// libcurl's handles, which keep their connections from one call to the next.
#ifndef TFCLIENT_HANDLES_H
#define TFCLIENT_HANDLES_H

#include <curl/curl.h>

#include <memory>

namespace tfclient {

struct GiveBack {
  void operator()(CURL* handle) const noexcept;
};

// A handle as if new, but for its connections. It is given back where it goes out of scope.
using Handle = std::unique_ptr<CURL, GiveBack>;

// Returns a handle that nobody uses; throws std::bad_alloc.
Handle take_handle();

}  // namespace tfclient

#endif
