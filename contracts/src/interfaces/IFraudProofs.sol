// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Claim, Evidence, Request} from "../libraries/Types.sol";
import {IDisputes} from "./IDisputes.sol";

/// @title A lie that was signed costs its signer the stake
interface IFraudProofs {
    /// @notice `operator` signed something about `requestId` that is false, or two things that cannot both be true.
    event LieProven(
        bytes32 indexed requestId,
        address indexed operator,
        address indexed challenger,
        bytes32 signedOutputDigest,
        bytes32 otherOutputDigest,
        uint256 rewardWei,
        uint256 burntWei
    );

    /// @notice A member of a committee was absent or outvoted, and lost a part of its stake.
    event VoterFined(
        bytes32 indexed requestId,
        address indexed member,
        address indexed informer,
        uint256 rewardWei,
        uint256 burntWei
    );

    /// @notice BLS keys, 256 bytes each, and the 96-byte sum of what they signed (IBlsKeys.signersOf).
    struct BlsSigned {
        bytes[] keys;
        bytes signature;
    }

    error NotTheSlasher(address slasher);
    error NothingSigned();
    error SameOutput(bytes32 outputDigest);
    error OtherRequest(bytes32 firstRequestId, bytes32 secondRequestId);
    error OtherOperator(address firstOperator, address secondOperator);
    error NotAnOperator(address signer);
    error NoChallenger();
    error NobodySlashed(bytes32 requestId);
    error NotReplaced(bytes32 requestId, IDisputes.Outcome outcome);
    error NotFaulty(bytes32 requestId, address member);
    error AlreadyFined(bytes32 requestId, address member);
    error NothingToFine(address member);

    /// @notice Slashes every operator who signed `claim`, on a proof that the model gives another output. One
    ///         transaction, no bond, no game.
    /// @param claim What was signed, for the Coprocessor this contract was deployed for.
    /// @param signatures One signature of the claim's digest for each signer; at least one.
    /// @param input The input whose digest is in the claim.
    /// @param output The output that the model really gives.
    /// @param evidence Proof evidence for (request, model, input, `output`), as a delivery would carry it. It names who
    ///        is rewarded: a copy of it, sent by anybody, rewards the same.
    /// @return slashed How many operators were slashed now: those who were before for this request, and those without a
    ///         stake, are passed over; reverts when there is none.
    function proveWrong(
        Claim calldata claim,
        bytes[] calldata signatures,
        bytes calldata input,
        bytes calldata output,
        Evidence calldata evidence
    ) external returns (uint256 slashed);

    /// @notice As `proveWrong`, for a claim that was signed with BLS keys.
    /// @param signed The keys and the sum of their signatures, as BLS quorum evidence or a single claim has it.
    function proveWrongTogether(
        Claim calldata claim,
        BlsSigned calldata signed,
        bytes calldata input,
        bytes calldata output,
        Evidence calldata evidence
    ) external returns (uint256 slashed);

    /// @notice Slashes every operator who is among the signers of both of two outputs for one request; rewards the
    ///         caller. A side without keys is one ECDSA signature.
    /// @dev WARNING: as for `proveEquivocation`.
    function proveEquivocationTogether(
        Claim calldata first,
        BlsSigned calldata firstSigned,
        Claim calldata second,
        BlsSigned calldata secondSigned
    ) external returns (uint256 slashed);

    /// @notice Slashes an operator who signed two outputs for one request; rewards the caller.
    /// @dev WARNING: nothing binds two signatures to who found them. Whoever sees this call waiting can make it first
    ///      and have the reward; the operator is slashed all the same.
    function proveEquivocation(
        Claim calldata first,
        bytes calldata firstSignature,
        Claim calldata second,
        bytes calldata secondSignature
    ) external;

    /// @notice Slashes every operator who signed another output for a request than the one a committee ruled for.
    ///         Rewards who opened the dispute or the audit, whoever calls.
    /// @param request The request; its claim is put together from it and `outputDigest`.
    /// @param outputDigest What was signed.
    /// @param signatures As for `proveWrong`.
    function proveOutvoted(Request calldata request, bytes32 outputDigest, bytes[] calldata signatures)
        external
        returns (uint256 slashed);

    /// @notice As `proveOutvoted`, for a claim that was signed with BLS keys.
    function proveOutvotedTogether(Request calldata request, bytes32 outputDigest, BlsSigned calldata signed)
        external
        returns (uint256 slashed);

    /// @notice Fines a member of a committee who did not reveal a vote, or voted against the majority: a tenth of the
    ///         least stake, or what is left. Half of it is the caller's, half nobody's. Once for a request.
    /// @dev WARNING: nothing binds a fine to who found it; whoever calls first has the reward.
    function penalizeVoter(bytes32 requestId, address member) external;

    /// @notice Whether a member was fined for its part in a request's committee.
    function wasFined(bytes32 requestId, address member) external view returns (bool);

    /// @notice An operator's whole record in one call: ICoprocessor.workOf and IOperatorRegistry.slashedCount.
    function qualityOf(address operator) external view returns (uint64 delivered, uint64 late, uint64 slashed);

    /// @notice Whether an operator was slashed for what it signed about a request: it is never again for the same.
    /// @dev False after a slashing of less than the least stake: otherwise dust would buy the right to lie.
    function wasSlashed(bytes32 requestId, address operator) external view returns (bool);
}
