// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {BoundedCall} from "./BoundedCall.sol";

/// @title Did this account sign?
/// @notice An ECDSA signature by the account's own key, or ERC-1271 where the account has code. ECDSA is tried first,
///         also for accounts with code: an account delegated by EIP-7702 still has its key, and nobody has the key of
///         a contract.
library RequesterSignature {
    /// @dev Enough for a passkey wallet; bounded so that one wallet cannot burn the gas of a whole batch.
    uint256 internal constant ERC1271_GAS = 400_000;

    /// @notice Whether `signer` signed `digest`. ECDSA signatures are r‖s‖v with low s and v in {27, 28}.
    /// @dev Reverts with InsufficientGas, never returns false, when too little gas is left to ask a contract.
    function isSignedBy(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (address recovered, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (err == ECDSA.RecoverError.NoError && recovered == signer) return true;
        if (signer.code.length == 0) return false;
        bytes memory query = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        (bool isSuccess, bytes32 word) = BoundedCall.tryStaticCall(signer, ERC1271_GAS, query);
        return isSuccess && word == bytes32(IERC1271.isValidSignature.selector);
    }
}
