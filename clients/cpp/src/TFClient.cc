// The two functions of TFaaS's client. Programs written for it know no exceptions of theirs.
#include "../interface/TFClient.h"

#include <iostream>

namespace {

// Tells in one piece, so that the lines of several threads stay lines.
void tell(const std::string& text) { std::cerr << text + "\n" << std::flush; }

template <class Call>
tfaaspb::Predictions or_nothing(const Call& call) {
  try {
    return call();
  } catch (const std::exception& failure) {
    tell(failure.what());
  }
  return {};
}

}  // namespace

tfaaspb::Predictions predict(const std::string& url, const std::string& model,
                             const std::vector<std::string>& attrs,
                             const std::vector<float>& values) {
  return or_nothing([&] { return tfclient::ask(url, tfclient::row_of(model, attrs, values)); });
}

tfaaspb::Predictions tfaasRequest(const std::string& url, const std::string& input) {
  return or_nothing(
      [&] { return tfclient::ask(url, input, tfclient::Settings::of_environment()); });
}
