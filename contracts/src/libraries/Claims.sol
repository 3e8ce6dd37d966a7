// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Claim, Request} from "./Types.sol";

/// @title EIP-712 types and struct hashes
/// @notice The same values as `oracle/encoding.py`; `tests/vectors` holds what both must give.
library Claims {
    bytes32 internal constant CLAIM_TYPEHASH =
        keccak256("InferenceClaim(bytes32 requestId,bytes32 modelId,bytes32 inputDigest,bytes32 outputDigest)");

    bytes32 internal constant REQUEST_TYPEHASH = keccak256(
        "InferenceRequest(address requester,address refundTo,bytes32 modelId,bytes32 inputDigest,bytes32 policy,"
        "uint256 feeWei,uint32 callbackGas,uint64 deadline,uint256 nonce)"
    );

    bytes32 internal constant MODEL_TYPEHASH =
        keccak256("Model(uint8 kind,bytes32 manifest,bytes32 circuit,bytes32[] parameters)");

    /// @notice EIP-712 struct hash of a claim.
    function hashClaim(Claim memory claim) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(CLAIM_TYPEHASH, claim.requestId, claim.modelId, claim.inputDigest, claim.outputDigest)
            );
    }

    /// @notice EIP-712 struct hash of a request.
    function hashRequest(Request memory request) internal pure returns (bytes32) {
        // A Request has static fields only, so its ABI encoding is EIP-712's encodeData.
        return keccak256(abi.encode(REQUEST_TYPEHASH, request));
    }

    /// @notice The model id: EIP-712 struct hash without a domain, because a model is the same on every chain.
    /// @param parameters Digests of the parts of the commitments to the weights, in order (ModelRegistry).
    function hashModel(uint8 kind, bytes32 manifestDigest, bytes32 circuitDigest, bytes32[] memory parameters)
        internal
        pure
        returns (bytes32)
    {
        // EIP-712 encodes an array as the hash of its elements' encodings, one after the other.
        bytes32 parametersHash = keccak256(abi.encodePacked(parameters));
        return keccak256(abi.encode(MODEL_TYPEHASH, kind, manifestDigest, circuitDigest, parametersHash));
    }
}
