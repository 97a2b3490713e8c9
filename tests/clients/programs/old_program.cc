// old_program URL MODEL: written as programs for TFaaS are, which lean on its header's
// `using namespace std`, pass string literals, and start threads with predict's address.
#include "TFClient.h"

#include <thread>

int main(int, char** words) {
    auto url = words[1];
    auto model = words[2];
    vector<string> attrs = {"0", "1"};
    vector<float> values = {0.5, -2};

    tfaaspb::Predictions res = predict(url, model, attrs, values);
    for(int i=0; i<res.prediction_size(); i++) {
        auto p = res.prediction(i);
        cout << "class: " << p.label() << " probability: " << p.probability() << endl;
    }

    std::vector<std::thread> threads;
    threads.push_back(std::thread(&predict, url, model, attrs, values));
    for(auto& thread : threads) thread.join();

    predict(url, "uneven", attrs, {1});

    tfaaspb::Row row;
    row.set_model(model);
    string input;
    row.SerializeToString(&input);
    const tfaaspb::Predictions none = tfaasRequest(url, input);
    cout << none.prediction_size() << " of an empty row" << endl;
}
