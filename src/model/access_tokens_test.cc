#include "model/access_tokens.h"

#include <gtest/gtest.h>

#include <set>

#include "base/sha256.h"

namespace polysome {
namespace {

const std::string kHash = sha256_hex("secret");

TEST(AccessTokens, ReadsNamesHashesAndScopes) {
  const auto tokens = parse_tokens(
      "# who may call\n\nada:" + kHash + "\r\nops:" + sha256_hex("other") + ":admin,submit_for\n",
      "tokens");
  ASSERT_TRUE(tokens) << tokens.error().message;
  ASSERT_EQ(tokens->size(), 2U);
  const auto* ada = find_token(*tokens, "secret");
  ASSERT_NE(ada, nullptr);
  EXPECT_EQ(ada->name, "ada");
  EXPECT_FALSE(ada->admin || ada->submit_for);
  const auto* ops = find_token(*tokens, "other");
  ASSERT_NE(ops, nullptr);
  EXPECT_TRUE(ops->admin && ops->submit_for);
  for (const char* wrong : {"", "secre", "secret ", "Secret"})
    EXPECT_EQ(find_token(*tokens, wrong), nullptr) << wrong;
  EXPECT_EQ(find_token(*tokens, kHash), nullptr) << "the hash in the file is no token";
}

TEST(AccessTokens, WritesLinesThatItReads) {
  for (const bool admin : {false, true})
    for (const bool submit_for : {false, true}) {
      const AccessToken token{"ada@x.org", kHash, admin, submit_for};
      const auto read = parse_tokens(token.line(), "tokens");
      ASSERT_TRUE(read) << token.line();
      EXPECT_EQ(read->front().line(), token.line());
    }
}

TEST(AccessTokens, NamesTheLineThatIsWrong) {
  const auto why = [](const std::string& text) {
    const auto tokens = parse_tokens("ada:" + kHash + "\n" + text, "/etc/tokens");
    return tokens ? std::string() : tokens.error().message;
  };
  EXPECT_EQ(why("bob"), "/etc/tokens:2: the line is not name:token-hash[:scope,…]");
  EXPECT_NE(why("bob:1234").find("not a SHA-256"), std::string::npos);
  EXPECT_NE(why("bob:" + kHash + ":admn").find("did you mean \"admin\""), std::string::npos);
  EXPECT_NE(why("ada:" + sha256_hex("x")).find("there twice"), std::string::npos);
  EXPECT_NE(why("a b:" + kHash).find("can't be the name"), std::string::npos);
  EXPECT_NE(why("anonymous:" + kHash).find("without a name"), std::string::npos);
}

TEST(AccessTokens, MakesSecretsOf256BitsThatDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto token = make_token();
    ASSERT_TRUE(token);
    EXPECT_EQ(token->size(), 46U);
    EXPECT_TRUE(token->starts_with("ps_"));
    seen.insert(*token);
  }
  EXPECT_EQ(seen.size(), 100U);
}

}  // namespace
}  // namespace polysome
