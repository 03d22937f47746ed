// The commands of `tram`, one function each: done 0, failed 1, usage 2 (verify: valid 0, invalid 1, incomplete 2).
// What they share: one request, its error, its JSON. Thread: main.
#pragma once
#include "node/cli/output.h"

namespace tram::cli {

struct App {
  Output out;
  Client* client = nullptr;
  std::string idempotency_key;  // given with --idempotency-key to repeat a command safely, else random
};

// ---- what the commands share (requests.cpp)
// ---------------------------------------------------------------------------

/// A fresh key for one command.
std::string random_key();
/// Error and hint lines of a reply that is no success; exit_failed. With a key, how to repeat safely when it may have
/// been carried out.
int report(const App&, const Reply&, const std::string& key = {});
/// GET; nothing when it failed (reported).
std::optional<Json> get(const App&, const std::string& path);
/// POST of JSON under the command's key; nothing when it failed (reported).
std::optional<Json> post(const App&, const std::string& path, const Json& body);
std::optional<Json> parse_json(const std::string& text);
/// The answer as it is, for --json.
int print_json(const Json&);
/// "?state=...&q=..." of what is not empty.
std::string query_string(const std::vector<std::pair<std::string, std::string>>&);
std::string text_of(const Json&, const char* member);
/// Adds the pages after the first until `limit` items are there.
bool follow_pages(const App&, Json& first, const std::string& path, size_t limit);
/// "THỰC HÀNH" on its own line in a practice realm.
void print_practice(const App&, const Json&);

// ---- send.cpp -------------------------------------------------------------------------------------------------------

struct SendOptions {
  std::vector<std::string> to, files;
  std::string metadata_file;
  std::map<std::string, std::string> fields;  // metadata members by name, "signer.name" too; whole numbers for some
  std::string from_unit, replace, update, reason;
  uint64_t reply_to = 0;
};
int send(const App&, const SendOptions&);

// ---- lists.cpp, documents.cpp ---------------------------------------------------------------------------------------

struct ListOptions {
  std::string state, unit, query;
  size_t limit = 50;
  bool quarantine = false;
};
int inbox(const App&, const ListOptions&);
int quarantine(const App&);
int outbox(const App&, const ListOptions&);
/// A number is an arrival, anything else a document of ours.
/// `wait`: empty, or until every recipient of a document sent is accepted or delivered, or will never be.
int show(const App&, const std::string& id, const std::string& wait);
int save(const App&, const std::string& id, const std::string& directory, bool overwrite);
int recall(const App&, const std::string& id, const std::string& reason);
int receipts(const App&, const std::string& id, const std::string& directory);

struct ActOptions {
  std::string id, number, date, person, unit, reason, status;
  bool agree = false;
};
int register_document(const App&, const ActOptions&);
int refuse(const App&, const ActOptions&);
int set_status(const App&, const ActOptions&);
int answer(const App&, const ActOptions&);

// ---- look.cpp, verify.cpp -------------------------------------------------------------------------------------------

struct DirectoryOptions {
  std::string query, branch, level, province, group;
  size_t limit = 20;
};
int directory(const App&, const DirectoryOptions&);
int doctor(const App&);
int verify(const App&, const std::string& file, const std::string& realm);

}  // namespace tram::cli
