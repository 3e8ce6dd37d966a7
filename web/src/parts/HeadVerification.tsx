/** The log's head, verified by this browser. */

import { OwnVerdict } from "./OwnVerdict";
import { useVerification } from "./useVerification";

export function HeadVerification() {
  const verification = useVerification("head", null);
  return (
    <OwnVerdict
      verification={verification}
      title="Verified by this browser"
      words={{ passed: "The log is signed by its key and extends what was anchored and seen before.", failed: "Do not rely on this log." }}
    />
  );
}
