// The MCP SDK's client gets a token for an MCP server made with the same SDK, and calls its tool.
//
// The server knows of us what our metadata says and no more: it names us as its authorization
// server (RFC 9728) and has jose verify bearer tokens.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { discoverOAuthServerInfo } from "@modelcontextprotocol/sdk/client/auth.js";
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InvalidTokenError } from "@modelcontextprotocol/sdk/server/auth/errors.js";
import { requireBearerAuth } from "@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js";
import { getOAuthProtectedResourceMetadataUrl, mcpAuthMetadataRouter } from "@modelcontextprotocol/sdk/server/auth/router.js";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { ISSUER, ALGORITHM, METHOD, RESOURCE_PORT, CLIENT_ID, CLIENT_SECRET, PRIVATE_KEY, KEY_ALGORITHM, EXPECT } =
  process.env;
const url = new URL(`http://127.0.0.1:${RESOURCE_PORT}/mcp`);

const metadata = await (await fetch(`${ISSUER}/.well-known/oauth-authorization-server`)).json();
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
const verifier = {
  async verifyAccessToken(token) {
    const expected = { issuer: ISSUER, audience: url.href, typ: "at+jwt", algorithms: [ALGORITHM] };
    const verified = await jwtVerify(token, keys, expected).catch((error) => {
      throw new InvalidTokenError(error.message);
    });
    const { client_id, scope, exp } = verified.payload;
    return { token, clientId: client_id, scopes: scope.split(" "), expiresAt: exp, resource: url, extra: verified.payload };
  },
};

const app = createMcpExpressApp();
app.use(mcpAuthMetadataRouter({ oauthMetadata: metadata, resourceServerUrl: url, scopesSupported: ["resume:read"] }));
const bearer = requireBearerAuth({
  verifier,
  requiredScopes: ["resume:read"],
  resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(url),
  expectedResource: url,
});
app.all("/mcp", bearer, async (request, response) => {
  const server = new McpServer({ name: "resource", version: "1.0.0" });
  server.registerTool("whoami", { description: "The claims of the caller's token" }, ({ authInfo }) => ({
    content: [{ type: "text", text: JSON.stringify(authInfo.extra) }],
  }));
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => server.close());
  await server.connect(transport);
  await transport.handleRequest(request, response, request.body);
});
const listener = app.listen(Number(RESOURCE_PORT), "127.0.0.1");
await new Promise((resolve) => listener.once("listening", resolve));

const common = { clientId: CLIENT_ID, expectedIssuer: ISSUER, scope: "resume:read" };
const authProvider =
  METHOD === "private_key_jwt"
    ? new PrivateKeyJwtProvider({ ...common, privateKey: JSON.parse(PRIVATE_KEY), algorithm: KEY_ALGORITHM })
    : new ClientCredentialsProvider({ ...common, clientSecret: CLIENT_SECRET });

const client = new Client({ name: "agent", version: "1.0.0" });
try {
  const discovered = await discoverOAuthServerInfo(url);
  if (discovered.authorizationServerMetadata?.issuer !== ISSUER) {
    throw new Error(`discovered ${JSON.stringify(discovered)}`);
  }
  await client.connect(new StreamableHTTPClientTransport(url, { authProvider }));
  const answer = await client.callTool({ name: "whoami" });
  if (EXPECT) throw new Error("a token was given out");
  console.log(answer.content[0].text);
} catch (error) {
  if (!EXPECT || !`${error.name} ${error.message} ${error.errorCode}`.includes(EXPECT)) throw error;
  console.log(JSON.stringify({ error: EXPECT }));
} finally {
  await client.close();
  listener.closeAllConnections();
  listener.close();
}
