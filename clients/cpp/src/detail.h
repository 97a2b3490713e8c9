// What a server says of an error, for people.
#ifndef TFCLIENT_DETAIL_H
#define TFCLIENT_DETAIL_H

#include <string>

namespace tfclient {

// Returns the text of an error document: `detail` (RFC 9457), `error` (TFaaS, Open Inference
// Protocol) or `title`; of anything else the beginning. It is one line without control
// characters, and short.
std::string detail_of(const std::string& body);

}  // namespace tfclient

#endif
