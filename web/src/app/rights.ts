/** Which right each page and each action needs: the names of `oracle/office/people.py`. What somebody may not do is not offered. */

export const RIGHT = {
  records: "read_records",
  operations: "see_operations",
  reviews: "see_reviews",
  review: "review",
  disclosures: "see_disclosures",
  requestDisclosure: "request_disclosure",
  approveDisclosure: "approve_disclosure",
  holds: "see_holds",
  placeHold: "place_hold",
  approveRelease: "approve_release",
  erasures: "see_erasures",
  requestErasure: "request_erasure",
  approveErasure: "approve_erasure",
  readers: "see_readers",
  export: "export",
} as const;

export type RightName = keyof typeof RIGHT;

export const ROLE_WORDS: Record<string, string> = {
  operator: "operator",
  auditor: "auditor",
  dpo: "data protection officer",
  custodian: "key custodian",
  authority: "authority",
};

/** In words, for a page that says who could open it. */
export const RIGHT_WORDS: Record<RightName, string> = {
  records: "read records",
  operations: "see operations",
  reviews: "see reviews and samples",
  review: "review records and draw samples",
  disclosures: "see disclosures",
  requestDisclosure: "ask for a disclosure",
  approveDisclosure: "approve disclosures",
  holds: "see legal holds",
  placeHold: "place legal holds",
  approveRelease: "approve the release of a hold",
  erasures: "see erasures",
  requestErasure: "ask for an erasure",
  approveErasure: "approve erasures",
  readers: "see who read what",
  export: "export",
};
