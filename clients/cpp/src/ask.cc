#include <curl/curl.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "../interface/TFClient.h"
#include "detail.h"
#include "handles.h"

namespace tfclient {
namespace {

constexpr const char* agent = "TFClient-libcurl-agent";  // what TFaaS's client calls itself

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A URL without what stands before the @ of its host: logs are read by many.
std::string without_password(const std::string& url) {
  const auto scheme = url.find("://");
  const auto host = scheme == std::string::npos ? 0 : scheme + 3;
  const auto at = url.substr(0, url.find_first_of("/?#", host)).rfind('@');
  return at == std::string::npos || at < host ? url : url.substr(0, host) + url.substr(at + 1);
}

struct Answer {
  std::string body;
  std::size_t most;
  bool too_long = false;
};

// libcurl is C: nothing may be thrown through it.
std::size_t append(const char* data, std::size_t size, std::size_t count, void* into) noexcept {
  auto& answer = *static_cast<Answer*>(into);
  const std::size_t bytes = size * count;
  answer.too_long = bytes > answer.most - answer.body.size();
  if (answer.too_long) return 0;
  try {
    answer.body.append(data, bytes);
  } catch (...) {
    return 0;
  }
  return bytes;
}

void allow_only(CURL* curl, const char* protocols, [[maybe_unused]] long mask,
                bool redirected_to) {
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(curl, redirected_to ? CURLOPT_REDIR_PROTOCOLS_STR : CURLOPT_PROTOCOLS_STR,
                   protocols);
#else
  static_cast<void>(protocols);
  curl_easy_setopt(curl, redirected_to ? CURLOPT_REDIR_PROTOCOLS : CURLOPT_PROTOCOLS, mask);
#endif
}

void set_target(CURL* curl, const std::string& url) {
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, agent);
  allow_only(curl, "http,https", CURLPROTO_HTTP | CURLPROTO_HTTPS, false);
  // A redirection keeps the row, is not followed for ever, and never leaves TLS.
  const bool tls = url.size() > 5 && (url[4] | 0x20) == 's';
  if (tls)
    allow_only(curl, "https", CURLPROTO_HTTPS, true);
  else
    allow_only(curl, "http,https", CURLPROTO_HTTP | CURLPROTO_HTTPS, true);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl, CURLOPT_POSTREDIR,
                   static_cast<long>(CURL_REDIR_POST_301 | CURL_REDIR_POST_302));
}

void set_identity(CURL* curl, const Settings& settings) {
  const auto file = [curl](CURLoption option, const std::string& path) {
    if (!path.empty()) curl_easy_setopt(curl, option, path.c_str());
  };
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  file(CURLOPT_SSLCERT, settings.certificate);
  file(CURLOPT_SSLKEY, settings.key);
  file(CURLOPT_CAPATH, settings.authorities);
  if (!settings.token.empty()) {  // not a header of ours: that would go to other hosts as well
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, settings.token.c_str());
  }
}

void set_times(CURL* curl, const Settings& settings) {
  const auto option = [curl](CURLoption which, std::chrono::milliseconds time) {
    if (time.count() > std::numeric_limits<int>::max()) return;  // over three weeks: no limit
    curl_easy_setopt(curl, which, static_cast<long>(time.count() < 1 ? 1 : time.count()));
  };
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);  // SIGALRM belongs to the program
  option(CURLOPT_CONNECTTIMEOUT_MS, settings.connecting);
  option(CURLOPT_TIMEOUT_MS, settings.total);
}

void set_bodies(CURL* curl, const std::string& row, Answer& answer) {
  curl_easy_setopt(curl, CURLOPT_POST, 1L);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, row.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(row.size()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
}

std::string reason(CURLcode code, const Answer& answer, const char* more) {
  if (answer.too_long)
    return "the answer has more than " + std::to_string(answer.most) + " bytes";
  const std::string text = curl_easy_strerror(code);
  return *more == '\0' || text == more ? text : text + ": " + detail_of(more);
}

// Sends a row; returns the body of an answer that is a success.
std::string post(const std::string& url, const std::string& row, const Settings& settings) {
  for (const char each : settings.token)
    if (each <= ' ' || each > '~') throw Failure(url, 0, "the token has a forbidden character");
  Answer answer{{}, settings.most_bytes};
  std::array<char, CURL_ERROR_SIZE> more{};
  const Handle handle = take_handle();
  CURL* curl = handle.get();
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, more.data());
  set_target(curl, url);
  set_identity(curl, settings);
  set_times(curl, settings);
  set_bodies(curl, row, answer);
  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK)
    throw Failure(url, static_cast<int>(status), reason(code, answer, more.data()));
  if (status < 200 || status > 299)
    throw Failure(url, static_cast<int>(status), detail_of(answer.body));
  return std::move(answer.body);
}

}  // namespace

Failure::Failure(const std::string& url, int status, const std::string& detail)
    : std::runtime_error("POST " + without_password(url) + ": " +
                         (status == 0 ? "" : std::to_string(status) + " ") + detail),
      status_(status),
      detail_(detail) {}

Settings Settings::of_environment() {
  Settings settings;
  settings.certificate = settings.key = variable("X509_USER_PROXY");
  settings.authorities = variable("X509_CERT_DIR");
  settings.token = variable("GPFN_TOKEN");
  const std::string seconds = variable("TFCLIENT_TIMEOUT");
  if (!seconds.empty()) {
    char* end = nullptr;
    const double value = std::strtod(seconds.c_str(), &end);
    if (*end != '\0' || !(value > 0 && value < 1e6))
      throw std::invalid_argument("TFCLIENT_TIMEOUT is no number of seconds: " + seconds);
    settings.total = std::chrono::milliseconds(std::llround(value * 1000));
  }
  return settings;
}

tfaaspb::Row row_of(const std::string& model, const std::vector<std::string>& names,
                    const std::vector<float>& values) {
  if (names.size() != values.size())
    throw std::invalid_argument("attributes size is not equal to values one: " +
                                std::to_string(names.size()) + " and " +
                                std::to_string(values.size()));
  tfaaspb::Row row;
  row.set_model(model);
  for (const auto& name : names) row.add_key(name);
  row.mutable_value()->Add(values.begin(), values.end());
  return row;
}

tfaaspb::Predictions ask(const std::string& url, const tfaaspb::Row& row) {
  return ask(url, row, Settings::of_environment());
}

tfaaspb::Predictions ask(const std::string& url, const tfaaspb::Row& row,
                         const Settings& settings) {
  std::string bytes;
  if (!row.SerializeToString(&bytes)) throw Failure(url, 0, "unable to serialize data");
  return ask(url, bytes, settings);
}

tfaaspb::Predictions ask(const std::string& url, const std::string& row,
                         const Settings& settings) {
  tfaaspb::Predictions found;
  const std::string body = post(url, row, settings);
  if (!found.ParseFromString(body))
    throw Failure(url, 200, "failed to parse input buffer: " + detail_of(body));
  return found;
}

}  // namespace tfclient
