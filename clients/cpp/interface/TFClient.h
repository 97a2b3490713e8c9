// Asks a model server for predictions: TFaaS's own or gpfn's.
//
//   auto found = predict("http://localhost:9000/proto", "luca", names, values);
//   for (const auto& each : found.prediction())
//     std::cout << each.label() << " " << each.probability() << std::endl;
//
// predict() and tfaasRequest() are declared as TFaaS's client declares them and behave as they did
// there: what goes wrong is told on stderr, and the result is empty. tfclient::ask() throws.
// All of them may be called from any number of threads. Connections are kept for later calls.
#ifndef TFCLIENT_H
#define TFCLIENT_H

#include <chrono>
#include <cstddef>
#include <iostream>  // programs written for TFaaS rely on it
#include <stdexcept>
#include <string>
#include <vector>

#include "tfaas.pb.h"

// Sends one row to a URL such as http://HOST:PORT/proto.
tfaaspb::Predictions predict(const std::string& url, const std::string& model,
                             const std::vector<std::string>& attrs,
                             const std::vector<float>& values);

// The same with a Row that is serialized already.
tfaaspb::Predictions tfaasRequest(const std::string& url, const std::string& input);

namespace tfclient {

// How to call. of_environment() fills it for predict(), and for ask() when nothing is given.
struct Settings {
  std::string certificate;                       // PEM file shown to the server: $X509_USER_PROXY
  std::string key;                               // PEM file of its key: $X509_USER_PROXY
  std::string authorities;                       // folder of hashed CA files: $X509_CERT_DIR
  std::string token;                             // sent as a bearer token: $GPFN_TOKEN
  std::chrono::milliseconds connecting{10000};   // at most, until there is a connection
  std::chrono::milliseconds total{300000};       // at most, for the call: $TFCLIENT_TIMEOUT seconds
  std::size_t most_bytes = std::size_t{1} << 26; // of an answer

  static Settings of_environment();
};

// Why there are no predictions. what() names the URL without a password in it.
class Failure : public std::runtime_error {
 public:
  Failure(const std::string& url, int status, const std::string& detail);

  int status() const noexcept { return status_; }  // of HTTP; 0 when no answer has come
  const std::string& detail() const noexcept { return detail_; }

 private:
  int status_;
  std::string detail_;
};

// Makes a row of names and values; throws std::invalid_argument unless they are equally many.
tfaaspb::Row row_of(const std::string& model, const std::vector<std::string>& names,
                    const std::vector<float>& values);

// Sends a row, or the bytes of one, and returns the predictions; throws Failure.
tfaaspb::Predictions ask(const std::string& url, const tfaaspb::Row& row);
tfaaspb::Predictions ask(const std::string& url, const tfaaspb::Row& row, const Settings& settings);
tfaaspb::Predictions ask(const std::string& url, const std::string& row, const Settings& settings);

}  // namespace tfclient

// TFaaS's header does this, and programs written for it lean on it. Others define this name.
#ifndef TFCLIENT_NO_USING_STD
using namespace std;
#endif

#endif
