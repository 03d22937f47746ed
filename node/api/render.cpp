#include "base/limits.h"
#include "node/api/internal.h"
#include "node/metadata_rules.h"

namespace tram::node::api {

Words words(proto::OutState state) {
  switch (state) {
    case proto::OutState::sealing: return {"sealing", "Đang đóng gói", "Being sealed"};
    case proto::OutState::sent: return {"sent", "Đã gửi đi", "Sent"};
    case proto::OutState::failed: return {"failed", "Không gửi được", "Could not be sent"};
  }
  return {"unknown", "", ""};
}

Words words(proto::ItemState state) {
  switch (state) {
    case proto::ItemState::waiting: return {"waiting", "Đang chờ", "Waiting"};
    case proto::ItemState::queued: return {"queued", "Trong hàng đợi", "Queued"};
    case proto::ItemState::accepted: return {"accepted", "Trạm đã nhận giữ", "In the brokers' custody"};
    case proto::ItemState::delivered: return {"delivered", "Đã đến nơi nhận", "Delivered"};
    case proto::ItemState::refused: return {"refused", "Bị trả lại", "Refused"};
    case proto::ItemState::rejected: return {"rejected", "Nơi nhận không mở được", "Rejected for a technical reason"};
    case proto::ItemState::cancelled: return {"cancelled", "Đã hủy trước khi giao", "Cancelled before delivery"};
    case proto::ItemState::recalled: return {"recalled", "Đã thu hồi", "Recalled"};
    case proto::ItemState::expired: return {"expired", "Hết hạn, sẽ phát hành lại", "Expired; will be issued anew"};
    case proto::ItemState::forwarded: return {"forwarded", "Đã chuyển cho cơ quan kế thừa", "Went to its successor"};
    case proto::ItemState::undeliverable: return {"undeliverable", "Không giao được", "Cannot be delivered"};
  }
  return {"unknown", "", ""};
}

Words words(proto::InState state) {
  switch (state) {
    case proto::InState::held: return {"held", "Chờ văn bản trước", "Held for an earlier one"};
    case proto::InState::arrived: return {"arrived", "Đã đến", "Arrived"};
    case proto::InState::registered: return {"registered", "Đã tiếp nhận", "Registered"};
    case proto::InState::refused: return {"refused", "Từ chối tiếp nhận", "Refused"};
    case proto::InState::assigned: return {"assigned", "Đã phân công", "Assigned"};
    case proto::InState::processing: return {"processing", "Đang xử lý", "In progress"};
    case proto::InState::done: return {"done", "Hoàn thành", "Done"};
    case proto::InState::recalled: return {"recalled", "Đã thu hồi", "Recalled"};
  }
  return {"unknown", "", ""};
}

std::string status_text(uint16_t code) { return (code < 10 ? "0" : "") + std::to_string(code); }

Json status_json(uint16_t code) {
  struct Row {
    uint16_t code;
    const char *vi, *en;
  };
  static constexpr Row rows[] = {
      {1, "Đã đến", "Arrived"},           {2, "Từ chối tiếp nhận", "Refused"}, {3, "Đã tiếp nhận", "Registered"},
      {4, "Phân công", "Assigned"},       {5, "Đang xử lý", "In progress"},    {6, "Hoàn thành", "Done"},
      {13, "Lấy lại", "Take-back asked"}, {15, "Đồng ý", "Change agreed"},     {16, "Từ chối", "Change refused"}};
  for (const Row& row : rows)
    if (row.code == code) return {{"code", status_text(code)}, {"vi", row.vi}, {"en", row.en}};
  return nullptr;
}

std::optional<uint16_t> parse_status(std::string_view text) {
  const auto number = text.size() <= 2 ? parse_number(text) : std::nullopt;
  if (!number) return std::nullopt;
  return static_cast<uint16_t>(*number);
}

Json state_json(Words w) { return {{"name", w.name}, {"vi", w.vi}, {"en", w.en}}; }

Json error_json(uint16_t wire_number) {
  if (wire_number == 0) return nullptr;
  const auto* info = find_error(wire_number);
  if (!info) return {{"code", std::to_string(wire_number)}};
  return {{"code", info->name}, {"vi", info->vi}, {"en", info->en}};
}

Json time_json(Time time) {
  if (time.ms == 0) return nullptr;
  return local_time_text(time);
}

// ---- metadata
// --------------------------------------------------------------------------------------------------------

namespace {

Json priority_json(proto::Priority priority) {
  static constexpr const char* vi[] = {"Thường", "Khẩn", "Thượng khẩn", "Hỏa tốc", "Hỏa tốc hẹn giờ"};
  static constexpr const char* en[] = {"Normal", "Urgent", "Very urgent", "Express", "Express by the hour"};
  const auto at = std::min<size_t>(static_cast<size_t>(priority), 4);
  return {{"code", at}, {"vi", vi[at]}, {"en", en[at]}};
}

constexpr std::string_view relation_names[] = {"none", "recall", "update", "replace", "reply"};

void put(Json& json, const char* name, const std::string& value) {
  if (!value.empty()) json[name] = value;
}
void put(Json& json, const char* name, const proto::Date& value) {
  if (!value.empty()) json[name] = proto::to_text(value);
}

}  // namespace

Json metadata_json(const proto::Metadata& m) {
  Json json;
  json["number_and_symbol"] = number_and_symbol(m);
  put(json, "number", m.number);
  put(json, "symbol", m.symbol);
  put(json, "type_code", m.type_code);
  put(json, "type_name", m.type_name);
  put(json, "subject", m.subject);
  put(json, "content", m.content);
  put(json, "issued", m.issued);
  put(json, "place", m.place);
  put(json, "organ_name", m.organ_name);
  Json signer = Json::object();
  put(signer, "competence", m.signer_competence);
  put(signer, "position", m.signer_position);
  put(signer, "name", m.signer_name);
  if (!signer.empty()) json["signer"] = signer;
  json["priority"] = priority_json(m.priority);
  put(json, "priority_deadline", m.priority_deadline);
  static constexpr const char* classes[] = {"none", "confidential", "secret", "top_secret"};
  json["classification"] = classes[std::min<size_t>(static_cast<size_t>(m.classification), 3)];
  put(json, "due", m.due);
  if (m.pages) json["pages"] = m.pages;
  if (m.copies) json["copies"] = m.copies;
  put(json, "language", m.language);
  put(json, "sphere", m.sphere);
  put(json, "note", m.note);
  json["steering"] = m.steering;
  put(json, "circulation_mark", m.circulation_mark);
  if (!m.to_places.empty()) json["to_places"] = m.to_places;
  for (const auto& reply : m.reply_to) {
    Json one;
    put(one, "organ_code", reply.organ_code);
    put(one, "code", reply.code);
    put(one, "date", reply.date);
    put(one, "document_id", reply.document_id);
    json["reply_to"].push_back(one);
  }
  if (m.relation.kind != proto::RelationKind::none) {
    Json relation;
    relation["kind"] = relation_names[std::min<size_t>(static_cast<size_t>(m.relation.kind), 4)];
    for (const auto& target : m.relation.targets) relation["targets"].push_back(target.hex());
    put(relation, "reason", m.relation.reason);
    json["relation"] = relation;
  }
  put(json, "sent_by", m.sender_note_name);
  return json;
}

Result<proto::Metadata> metadata_from(const Json& json) {
  Fields f(json, "metadata");
  proto::Metadata m;
  m.number = f.text("number");
  m.symbol = f.text("symbol");
  m.type_code = f.text("type_code");
  m.type_name = f.text("type_name");
  m.subject = f.text("subject");
  m.content = f.text("content");
  m.issued = f.date("issued");
  m.place = f.text("place");
  m.organ_name = f.text("organ_name");
  if (const Json* signer = f.object("signer")) {
    Fields s(*signer, "metadata.signer");
    m.signer_competence = s.text("competence");
    m.signer_position = s.text("position");
    m.signer_name = s.text("name");
    TRAM_OK(s.finish());
  }
  m.priority = static_cast<proto::Priority>(f.integer("priority", 0, 4).value_or(0));
  m.priority_deadline = f.text("priority_deadline");
  if (const std::string name = f.text("classification"); !name.empty() && name != "none") {
    static constexpr std::string_view classes[] = {"none", "confidential", "secret", "top_secret"};
    const auto* found = std::find(std::begin(classes), std::end(classes), name);
    if (found == std::end(classes))
      f.refuse("classification", "one of none, confidential, secret, top_secret");
    else
      m.classification = static_cast<proto::Classification>(found - std::begin(classes));
  }
  m.due = f.date("due");
  m.pages = static_cast<uint32_t>(f.integer("pages", 0, 999).value_or(0));
  m.copies = static_cast<uint32_t>(f.integer("copies", 0, 999).value_or(0));
  m.language = f.text("language");
  m.sphere = f.text("sphere");
  m.note = f.text("note");
  m.steering = static_cast<uint32_t>(f.integer("steering", 0, 3).value_or(1));
  m.circulation_mark = f.text("circulation_mark");
  m.to_places = f.texts("to_places", 100);
  m.sender_note_name = f.text("sent_by");
  if (const Json* replies = f.array("reply_to", 32))
    for (const auto& one : *replies) {
      Fields r(one, "metadata.reply_to");
      proto::ReplyTo reply;
      reply.organ_code = r.text("organ_code");
      reply.code = r.text("code");
      reply.date = r.date("date");
      reply.document_id = r.text("document_id");
      TRAM_OK(r.finish());
      m.reply_to.push_back(std::move(reply));
    }
  TRAM_OK(f.finish());
  return m;
}

Json files_json(const proto::Metadata& m, std::string_view url_prefix) {
  Json files = Json::array();
  for (size_t i = 0; i < m.files.size(); ++i) {
    const auto& file = m.files[i];
    Json one{{"n", i + 1},
             {"name", file.name},
             {"type", file.media_type},
             {"bytes", file.bytes},
             {"sha256", file.sha256.hex()}};
    if (!url_prefix.empty()) one["url"] = std::string(url_prefix) + std::to_string(i + 1);
    files.push_back(one);
  }
  return files;
}

// ---- parties
// -----------------------------------------------------------------------------------------------------------

std::string main_code(const proto::Agency& agency, Time now) {
  for (const auto& code : agency.codes)
    if (code.valid_from <= now && (code.valid_until.ms == 0 || now < code.valid_until)) return code.code;
  return agency.codes.empty() ? std::string() : agency.codes.front().code;
}

Result<Json> Parties::json(const PartyId& id) {
  if (const auto found = known_.find(id); found != known_.end()) return found->second;
  TRAM_TRY(state, directory_.agency(txn_, id, now_));
  Json json{{"id", id.hex()}};
  if (state) {
    json["code"] = main_code(state->agency, now_);
    json["name"] = state->agency.name_vi;
    put(json, "name_en", state->agency.name_en);
    if (state->status != proto::AgencyStatus::active) json["status"] = proto::to_text(state->status);
  }
  known_.emplace(id, json);
  return json;
}

}  // namespace tram::node::api
