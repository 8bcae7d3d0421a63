#include "api/answers.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "model/job.h"

namespace polysome::api {
namespace {

std::string_view reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 507: return "Insufficient Storage";
    default: return "Answer";
  }
}

// RFC 9110 date, made once a second.
const std::string& http_date() {
  static std::time_t made_at = 0;
  static std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made_at || text.empty()) {
    static constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm t{};
    ::gmtime_r(&now, &t);
    text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays.at(t.tm_wday), t.tm_mday,
                       kMonths.at(t.tm_mon), t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    made_at = now;
  }
  return text;
}

void append_value(std::string_view value, std::string* out) {
  for (const char c : value)
    out->push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
}

}  // namespace

HttpResponse json_answer(const Json& body, int status) {
  return {status,
          {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}},
          dump(body) + "\n",
          false};
}

HttpResponse problem_answer(const Error& error) { return problem_answer(error, Json::object()); }

HttpResponse problem_answer(const Error& error, const Json& more) {
  Json problem = problem_json(error);
  for (const auto& [key, value] : more.items()) problem[key] = value;
  HttpResponse out = json_answer(problem, info(error.code).http_status);
  out.headers.front().value = "application/problem+json";
  if (error.code == Code::kUnauthorized) {
    out.headers.push_back({"WWW-Authenticate", "Bearer realm=\"polysome\""});
    out.headers.push_back({"WWW-Authenticate", "Basic realm=\"polysome\", charset=\"UTF-8\""});
  }
  if (error.retry_after_seconds)
    out.headers.push_back({"Retry-After", std::to_string(*error.retry_after_seconds)});
  return out;
}

std::string response_head(const HttpResponse& response, const HeadOptions& options) {
  std::string out =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\nServer: polysome/{}\r\n", response.status,
                  reason(response.status), http_date(), POLYSOME_VERSION);
  for (const auto& h : response.headers) {
    append_value(h.name, &out);
    out += ": ";
    append_value(h.value, &out);
    out += "\r\n";
  }
  out += "X-Content-Type-Options: nosniff\r\n";
  if (options.framing == Framing::kLength)
    out += fmt::format("Content-Length: {}\r\n", options.length);
  if (options.framing == Framing::kChunked) out += "Transfer-Encoding: chunked\r\n";
  if (options.close)
    out += "Connection: close\r\n";
  else if (options.http_1_0)
    out += "Connection: keep-alive\r\n";
  out += "\r\n";
  return out;
}

std::string attachment(std::string_view file_name) {
  std::string plain, exact;
  for (const char c : file_name) {
    const auto u = static_cast<unsigned char>(c);
    const bool simple = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
    plain.push_back(simple ? c : '_');
    exact += simple ? std::string(1, c) : fmt::format("%{:02X}", u);
  }
  return plain == file_name
             ? fmt::format("attachment; filename=\"{}\"", plain)
             : fmt::format("attachment; filename=\"{}\"; filename*=UTF-8''{}", plain, exact);
}

}  // namespace polysome::api
