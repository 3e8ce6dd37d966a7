// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFeeQuotes} from "./interfaces/IFeeQuotes.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {Policy} from "./libraries/Policy.sol";
import {EvidenceKind} from "./libraries/Types.sol";

/// @title FeeQuotes: where operators post their prices
/// @notice Nobody owns it, nothing depends on it: the Coprocessor takes any fee. It tells who asks what a fee has to be
///         for operators to answer.
contract FeeQuotes is IFeeQuotes {
    /// @notice Posted for a kind of evidence that the operator does not give.
    uint80 public constant NOT_SERVED = type(uint80).max;

    uint256 internal constant SEATS = 256;

    IOperatorRegistry public immutable OPERATORS;

    mapping(address operator => mapping(bytes32 modelId => Asks)) private _asks;

    constructor(IOperatorRegistry operators) {
        OPERATORS = operators;
    }

    /// @inheritdoc IFeeQuotes
    function post(bytes32 modelId, uint80 signatureWei, uint80 proofWei, uint80 enclaveWei) external {
        if (OPERATORS.stakeOf(msg.sender) == 0) revert NotAnOperator(msg.sender);
        _asks[msg.sender][modelId] = Asks(signatureWei, proofWei, enclaveWei, true);
        emit AsksPosted(msg.sender, modelId, signatureWei, proofWei, enclaveWei);
    }

    /// @inheritdoc IFeeQuotes
    function retract(bytes32 modelId) external {
        delete _asks[msg.sender][modelId];
        emit AsksRetracted(msg.sender, modelId);
    }

    /// @inheritdoc IFeeQuotes
    function asksOf(address operator, bytes32 modelId) public view returns (Asks memory asks) {
        asks = _asks[operator][modelId];
        if (!asks.isPosted) asks = _asks[operator][0];
    }

    /// @inheritdoc IFeeQuotes
    /// @dev Reads every seat: about 2 million gas where all are taken, for callers outside of a transaction.
    function quote(bytes32 modelId, bytes32 policy)
        external
        view
        returns (uint256 feeWei, uint256 shareWei, uint256 shares)
    {
        Policy.requireWellFormed(policy);
        Asks[] memory posted = _postedByActive(modelId);
        EvidenceKind[] memory kinds = Policy.demandedKinds(policy);
        for (uint256 i; i < kinds.length; ++i) {
            uint256 demanded = kinds[i] == EvidenceKind.QUORUM ? Policy.quorum(policy) : 1;
            uint256 askedWei = _askOfCheapest(posted, kinds[i], demanded);
            if (askedWei > shareWei) shareWei = askedWei;
            shares += demanded;
        }
        feeWei = shareWei * shares;
    }

    /// @dev The least share with which `demanded` of the operators are content: the ask of the dearest of the cheapest.
    function _askOfCheapest(Asks[] memory posted, EvidenceKind kind, uint256 demanded) private pure returns (uint256) {
        uint256[] memory sorted = new uint256[](posted.length);
        uint256 count;
        for (uint256 i; i < posted.length; ++i) {
            uint256 askedWei = _askFor(posted[i], kind);
            if (askedWei == NOT_SERVED) continue;
            uint256 place = count++;
            for (; place != 0 && sorted[place - 1] > askedWei; --place) {
                sorted[place] = sorted[place - 1];
            }
            sorted[place] = askedWei;
        }
        if (count < demanded) revert TooFewAsks(uint8(kind), demanded, count);
        return sorted[demanded - 1];
    }

    function _askFor(Asks memory asks, EvidenceKind kind) private pure returns (uint80) {
        if (kind == EvidenceKind.QUORUM) return asks.signatureWei;
        return kind == EvidenceKind.PROOF ? asks.proofWei : asks.enclaveWei;
    }

    function _postedByActive(bytes32 modelId) private view returns (Asks[] memory posted) {
        posted = new Asks[](SEATS);
        uint256 count;
        for (uint256 index; index < SEATS; ++index) {
            (address operator,, bool isActive) = OPERATORS.signerAt(uint8(index));
            if (!isActive) continue;
            posted[count] = asksOf(operator, modelId);
            if (posted[count].isPosted) ++count;
        }
        assembly ("memory-safe") {
            mstore(posted, count)
        }
    }
}
