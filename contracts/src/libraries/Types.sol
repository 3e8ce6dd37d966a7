// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The nouns of the protocol
/// @notice Field names and their order are those of the EIP-712 types (libraries/Claims.sol) and of
///         `oracle/records.py`.

/// @notice What is asked. Its EIP-712 digest is the request id, for requests made on chain and signed ones alike.
struct Request {
    /// @dev Who asks. Receives the callback when it has code, so nobody can cause a callback into somebody else's
    ///      contract.
    address requester;
    /// @dev Who is credited when no answer comes before the deadline.
    address refundTo;
    bytes32 modelId;
    /// @dev keccak256 of the input bytes.
    bytes32 inputDigest;
    /// @dev See libraries/Policy.sol.
    bytes32 policy;
    uint256 feeWei;
    /// @dev Gas given to `onInference`; 0 asks for no callback.
    uint32 callbackGas;
    /// @dev Unix seconds; the last second in which a delivery is accepted.
    uint64 deadline;
    /// @dev Below 2^128: given by the contract. From 2^128 on: chosen by the signer of an off-chain request.
    uint256 nonce;
}

/// @notice The statement every kind of evidence is about.
struct Claim {
    bytes32 requestId;
    bytes32 modelId;
    bytes32 inputDigest;
    bytes32 outputDigest;
}

/// @notice One piece of evidence: which verifier, and what it shall check.
struct Evidence {
    bytes4 selector;
    bytes data;
}

/// @notice One item of a batch. A request nonce from 2^128 on makes it a signed request, below that an on-chain
///         request.
struct Delivery {
    Request request;
    /// @dev Ignored for on-chain requests.
    bytes signature;
    bytes input;
    bytes output;
    Evidence[] evidence;
}

/// @notice Kinds of evidence, in the order in which a policy's evidence array carries them.
enum EvidenceKind {
    NONE,
    QUORUM,
    PROOF,
    ENCLAVE
}

/// @notice NONE → REQUESTED → PENDING → FINAL, or REQUESTED → FINAL, REQUESTED → REFUNDED, PENDING → REFUNDED;
///         signed requests go NONE → PENDING → FINAL, NONE → FINAL or NONE → CANCELLED.
enum Status {
    NONE,
    REQUESTED,
    PENDING,
    FINAL,
    REFUNDED,
    CANCELLED
}

/// @notice What became of `onInference`. RUNNING is seen only from inside the callback itself.
enum CallbackStatus {
    NONE,
    SUCCEEDED,
    FAILED,
    RUNNING
}

/// @notice What happened to one item of `deliverBatch`.
enum ResultCode {
    /// @dev Never returned: what an unset code would read as must not look like success.
    NOT_ATTEMPTED,
    /// @dev Final; the callback succeeded or none was asked for.
    DELIVERED,
    /// @dev Final and paid; the callback failed and can be retried by anyone.
    DELIVERED_CALLBACK_FAILED,
    /// @dev Accepted; final after the policy's window.
    DELIVERED_PENDING,
    /// @dev No such request on chain: wrong fields, wrong chain, or reorganised away.
    UNKNOWN_REQUEST,
    /// @dev An answer was accepted before; `statusOf` tells which.
    ALREADY_DELIVERED,
    /// @dev Refunded or cancelled.
    CLOSED,
    /// @dev Past the deadline.
    EXPIRED,
    /// @dev A signed request that breaks a rule `request` would have refused too (model, policy, gas, nonce, refund
    ///      address).
    REFUSED,
    /// @dev The requester did not sign this request.
    BAD_SIGNATURE,
    /// @dev The requester's deposit does not cover the fee.
    UNPAID,
    /// @dev A demanded verifier is missing, stopped, or rejected its evidence.
    BAD_EVIDENCE,
    /// @dev Too little gas was left; the same item can succeed in another transaction.
    OUT_OF_GAS
}
