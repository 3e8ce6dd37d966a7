// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVerifier} from "../../src/interfaces/IVerifier.sol";
import {Claim, EvidenceKind} from "../../src/libraries/Types.sol";

/// @title A proof system for tests: it knows the truth, and believes nothing else
/// @notice Stands where ProofVerifier stands, with its evidence format (20-byte beneficiary, then the proof), its
///         context and its rule about the input, so that what others do with proofs can be tested with any statement. A
///         proof is a hash of the statement and its context: easily made for what is true, worthless for anything else
///         and for anybody else.
contract TruthVerifier is IVerifier {
    error InputMissing(bytes32 expectedDigest, bytes32 gotDigest);
    error ProofTooShort(uint256 gotBytes);
    error NotTrue(bytes32 modelId, bytes32 inputDigest, bytes32 outputDigest);
    error NotProven();

    mapping(bytes32 modelId => mapping(bytes32 inputDigest => bytes32 outputDigest)) private _truths;

    /// @dev This model gives this output for this input.
    function learn(bytes32 modelId, bytes calldata input, bytes calldata output) external {
        _truths[modelId][keccak256(input)] = keccak256(output);
    }

    function kind() external pure returns (EvidenceKind) {
        return EvidenceKind.PROOF;
    }

    function selector() external pure returns (bytes4) {
        return bytes4(keccak256("affidavit.verifier.proof.v1"));
    }

    function verify(Claim calldata claim, bytes32, bytes32, bytes calldata input, bytes calldata, bytes calldata data)
        external
        view
        returns (address[] memory beneficiaries)
    {
        bytes32 digest = keccak256(input);
        if (digest != claim.inputDigest) revert InputMissing(claim.inputDigest, digest);
        if (data.length < 20) revert ProofTooShort(data.length);
        if (_truths[claim.modelId][claim.inputDigest] != claim.outputDigest) {
            revert NotTrue(claim.modelId, claim.inputDigest, claim.outputDigest);
        }
        address beneficiary = address(bytes20(data[:20]));
        if (keccak256(data) != keccak256(prove(claim, beneficiary))) revert NotProven();
        beneficiaries = new address[](1);
        beneficiaries[0] = beneficiary;
    }

    function contextOf(bytes32 requestId, address beneficiary) public pure returns (bytes32) {
        return keccak256(abi.encode(requestId, beneficiary));
    }

    /// @dev Evidence for `claim` made by `beneficiary`; it is accepted if the claim is true.
    function prove(Claim memory claim, address beneficiary) public pure returns (bytes memory) {
        bytes32 context = contextOf(claim.requestId, beneficiary);
        bytes32 proof = keccak256(abi.encode(claim.modelId, context, claim.inputDigest, claim.outputDigest));
        return bytes.concat(bytes20(beneficiary), proof);
    }
}
