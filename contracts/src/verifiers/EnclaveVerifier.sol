// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IEnclaveRegistry} from "../interfaces/IEnclaveRegistry.sol";
import {IVerifier} from "../interfaces/IVerifier.sol";
import {Policy} from "../libraries/Policy.sol";
import {Claim, EvidenceKind} from "../libraries/Types.sol";

/// @title EnclaveVerifier: a key that was attested to be in an enclave signed the claim
/// @notice Evidence: one 65-byte signature r‖s‖v of the claim's digest, s low, v 27 or 28, by a key that is valid in
///         the registry now. Paid is the operator who registered it. A simulated enclave is enough only where the
///         policy says so.
contract EnclaveVerifier is IVerifier {
    bytes4 internal constant SELECTOR = bytes4(keccak256("affidavit.verifier.enclave.v1"));
    uint256 internal constant SIGNATURE_BYTES = 65;

    IEnclaveRegistry public immutable ENCLAVES;

    error NoEnclaveDemanded(bytes32 policy);
    error EvidenceLength(uint256 expectedBytes, uint256 gotBytes);
    error BadSignature();
    error SimulatedEnclave(address key);

    constructor(IEnclaveRegistry enclaves) {
        ENCLAVES = enclaves;
    }

    /// @inheritdoc IVerifier
    function kind() external pure returns (EvidenceKind) {
        return EvidenceKind.ENCLAVE;
    }

    /// @inheritdoc IVerifier
    function selector() external pure returns (bytes4) {
        return SELECTOR;
    }

    /// @inheritdoc IVerifier
    function verify(
        Claim calldata,
        bytes32 claimDigest,
        bytes32 policy,
        bytes calldata,
        bytes calldata,
        bytes calldata data
    ) external view returns (address[] memory beneficiaries) {
        if (!Policy.demandsEnclave(policy)) revert NoEnclaveDemanded(policy);
        if (data.length != SIGNATURE_BYTES) revert EvidenceLength(SIGNATURE_BYTES, data.length);
        (address key, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(claimDigest, data);
        if (err != ECDSA.RecoverError.NoError) revert BadSignature();
        (address operator, bool isSimulated) = ENCLAVES.requireValid(key);
        if (isSimulated && !Policy.allowsSimulated(policy)) revert SimulatedEnclave(key);
        beneficiaries = new address[](1);
        beneficiaries[0] = operator;
    }
}
