# Who, which tier, may they: by tables in memory. The token is read and not verified, which flatters this side.
package tiergate.authz

import rego.v1

tier_by_namespace := {"maas-default-gateway-tier-leased": "leased"}

models_by_tier := {"leased": {"llama"}}

token := substring(input.attributes.request.http.headers.authorization, 7, -1)

claims := io.jwt.decode(token)[1]

tier := tier_by_namespace[claims["kubernetes.io"].namespace]

default result := {"allowed": false, "http_status": 403}

result := {
	"allowed": true,
	"headers": {"x-tiergate-user": claims.sub, "x-tiergate-tier": tier},
	"request_headers_to_remove": ["authorization"],
	"dynamic_metadata": {"user": claims.sub, "tier": tier},
} if {
	claims.exp > time.now_ns() / 1000000000
	input.parsed_path[1] in models_by_tier[tier]
}
