// details: reads bodies from stdin, each after its length in four bytes, least first; writes in the
// same form what is told of each.
#include <cstdint>
#include <cstdio>
#include <string>

#include "detail.h"

int main() {
  std::uint32_t length = 0;
  while (std::fread(&length, sizeof length, 1, stdin) == 1) {
    std::string body(length, '\0');
    if (std::fread(&body[0], 1, length, stdin) != length) return 1;
    const std::string told = tfclient::detail_of(body);
    length = static_cast<std::uint32_t>(told.size());
    std::fwrite(&length, sizeof length, 1, stdout);
    std::fwrite(told.data(), 1, told.size(), stdout);
    std::fflush(stdout);
  }
  return 0;
}
